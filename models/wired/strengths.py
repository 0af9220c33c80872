"""`scale`: what a node writes, or what one destination reads of it, times a factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.errors import ModelError
from knowncircuits.models.wired.enumeration import labels_stay
from knowncircuits.models.wired.sizes import copy_of
from knowncircuits.models.wired.streams import SMALL, written
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import QKV, Edge, Node, is_edge
from knowncircuits.transformer import Transformer


@transformation(check=labels_stay)
def scale(wired: Wired, where: str, factor: float) -> Wired:
    """A node's or an edge's strength, constants that it carries included.

    For a node (`a0.h1`) all that it writes is multiplied; for an edge (`embed->m0`) what this
    destination reads of this source. No other source may then write along the same directions.

    Answers change with it. Labels: as they were. It is refused where an edge that is in has no
    effect any more, as a weak flag below a threshold, and where one that had none has one.

    Raises ModelError for a factor of 0, an unknown node or edge, one that stands for none, and
    directions that are not the source's alone.
    """
    if factor == 0:
        raise ModelError("expected a factor other than 0, which would take edges out, got 0")
    names = wired.images if is_edge(where) else [Edge(edge).source for edge in wired.images]
    if where not in names:
        raise ModelError(
            f"expected a node or an edge of the circuit of {wired.compiled.name}, got {where!r}"
        )
    model = copy_of(wired.model)
    with torch.no_grad():
        if is_edge(where):
            _scale_edge(model, Edge(where), factor)
        else:
            _scale_node(model, Node(where), factor)
    return replace(wired, model=model)


def _scale_node(model: Transformer, node: Node, factor: float) -> None:
    if node.kind == "head":
        model.W_O[node.layer, node.head] *= factor
    elif node.kind == "mlp":
        model.W_out[node.layer] *= factor
        model.b_out[node.layer] *= factor
    else:
        (model.W_E if node.kind == "embed" else model.W_pos).mul_(factor)


def _scale_edge(model: Transformer, edge: Edge, factor: float) -> None:
    """The matrix that reads gets more or less of what it reads in the source's directions."""
    only = projector(model, edge.source)
    target, letter = edge.target, edge.destination.letter
    if letter:
        matrix = model.W_QKV[target.layer, QKV.index(letter), target.head]
    else:
        matrix = model.W_U if target.kind == "logits" else model.W_in[target.layer]
    matrix += (factor - 1) * (only @ matrix)


def projector(
    model: Transformer, source: str, sources: Sequence[str] | None = None
) -> Float[Tensor, "d_model d_model"]:
    """Takes, as x @ projector, from a sum of what sources write the part that is this one's.

    By default the sum is of all sources.

    Raises ModelError where other sources write along its directions.
    """
    own = _basis(written(model, source))
    every = model.graph.sources if sources is None else sources
    others = _basis(torch.cat([written(model, s) for s in every if s != source]))
    both = torch.cat([own, others])
    if len(_basis(both)) < len(both):
        raise ModelError(
            f"expected directions that only {source} writes along, got some that others write "
            "along too"
        )
    parts: Tensor = torch.linalg.pinv(both)[:, : len(own)] @ own
    return parts


def _basis(rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "rank d_model"]:
    _, values, vectors = torch.linalg.svd(rows, full_matrices=False)
    basis: Tensor = vectors[values > SMALL * values.max()] if values.max() else vectors[:0]
    return basis
