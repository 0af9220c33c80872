"""`sharpen`: how sharply a head attends, or how steep an MLP's steps are."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from knowncircuits.errors import ModelError
from knowncircuits.models.wired.enumeration import labels_stay
from knowncircuits.models.wired.sizes import copy_of
from knowncircuits.models.wired.streams import SMALL, written
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import Node
from knowncircuits.transformer import Transformer


@transformation(check=labels_stay)
def sharpen(wired: Wired, node: str, factor: Annotated[float, Field(gt=0)]) -> Wired:
    """A head's scores times a factor, or the slope of an MLP's steps; below 1 it softens.

    A step of a number is a ramp of two hidden units over the middle half of the gap between two
    values; it stays in its middle and its height stays. With factors of at least 1/2 the ramp lies
    within the gap, and no value gives another answer. A head attends to selected keys in proportion
    to exp(100 * factor) where the compiler made it.

    Labels: as they were; refused where an edge that is in has no effect any more, and where one
    that had none has one.

    Raises ModelError for a node that has no scores and no steps.
    """
    place, model = Node(node), copy_of(wired.model)
    if node not in model.graph.sources or place.kind not in ("head", "mlp"):
        raise ModelError(f"expected a head or an MLP of {model.graph.summary()}, got {node!r}")
    with torch.no_grad():
        if place.kind == "head":
            model.W_QKV[place.layer, 0, place.head] *= factor
            model.b_QKV[place.layer, 0, place.head] *= factor
        else:
            _steepen(model, place, factor)
    return replace(wired, model=model)


def _steepen(model: Transformer, mlp: Node, factor: float) -> None:
    """Make every ramp of an MLP steeper about its middle.

    The units of a ramp are relu(z + 1/2) - relu(z - 1/2), where z is the mean of what they read.
    """
    found = steps(model, mlp)
    if not found:
        raise ModelError(f"expected an MLP with steps of a number, got {mlp}, which has none")
    if factor == 1:
        return
    layer = mlp.layer
    sizes = model.W_out[layer].norm(dim=1)  # a unit's weights may be rescaled
    for weights in (model.W_in[layer], model.b_in[layer]):
        for rising, falling in found:
            a, b = weights[..., rising] * sizes[rising], weights[..., falling] * sizes[falling]
            middle, half = factor * (a + b) / 2, (a - b) / 2
            weights[..., rising] = (middle + half) / sizes[rising]
            weights[..., falling] = (middle - half) / sizes[falling]


def steps(model: Transformer, mlp: Node) -> list[tuple[int, int]]:
    """The pairs of hidden units that make ramps: the one that begins it and the one that ends it.

    They write along opposite directions, and what they read differs by a number that is the same
    on all inputs; of several partners a unit has the nearest.
    """
    layer, used = mlp.layer, model.hidden[mlp.layer]
    sizes = model.W_out[layer, :used].norm(dim=1)
    along = model.W_out[layer, :used] / sizes.where(sizes > 0, 1.0)[:, None]
    lead, shift = _responses(model, mlp)
    lead, shift = lead * sizes, shift * sizes
    tolerance = SMALL * float(lead.abs().max()) if used else 0.0
    near: list[tuple[float, int, int]] = []
    for unit in range(used):
        gap = shift[unit] - shift
        same = ((lead[:, [unit]] - lead).abs() <= tolerance).all(0)
        opposite = (along @ along[unit] + 1).abs() <= SMALL
        partners = (same & opposite & (gap > tolerance)).nonzero().flatten().tolist()
        near += [(float(gap[partner]), unit, partner) for partner in partners]
    taken: set[int] = set()
    found = []
    for _, rising, falling in sorted(near):
        if not {rising, falling} & taken:
            taken |= {rising, falling}
            found.append((rising, falling))
    return found


def _responses(
    model: Transformer, mlp: Node
) -> tuple[Float[Tensor, "row unit"], Float[Tensor, " unit"]]:
    """What each unit reads of all that is written, but for what it reads of every token alike."""
    used = model.hidden[mlp.layer]
    W_in, b_in = model.W_in[mlp.layer, :, :used], model.b_in[mlp.layer, :used]
    tokens = model.W_E @ W_in
    alike = tokens.mean(0)
    others = [node for node in model.graph.sources if node != "embed" and node.depth < mlp.depth]
    rows = [tokens - alike, *(written(model, node) @ W_in for node in others)]
    return torch.cat(rows), alike + b_in
