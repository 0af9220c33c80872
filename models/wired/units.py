"""`move`: hidden units of one layer's MLP to another layer's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.errors import ModelError
from knowncircuits.models.wired.enumeration import labels_stay
from knowncircuits.models.wired.sizes import grown
from knowncircuits.models.wired.streams import meet, read, varied, written
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired, renamed
from knowncircuits.names import Edge, Node
from knowncircuits.transformer import Transformer

Images = dict[str, tuple[str, ...]]


@transformation(check=labels_stay)
def move(wired: Wired, source: str, target: str, units: Sequence[int] | None = None) -> Wired:
    """Hidden units, by default all of them, from one MLP to another, earlier or later.

    All that they read must come before the target, and all that reads them after it. A layer that
    is not there yet is added.

    Labels: an edge into the target stands for the one into the source where the moved units read
    it, one out of the target for the one out of the source where what they write is read. The
    source keeps those edges that the units which stay need. The model answers as before under sets
    of edges that have all or none of those that share an image.

    Raises ModelError for places and units that are not so.
    """
    old, new = Node(source), Node(target)
    model = wired.model
    if old.kind != "mlp" or new.kind != "mlp" or old not in model.graph.sources:
        raise ModelError(f"expected a model's MLP and one to move to, got {source} and {target}")
    n = model.hidden[old.layer]
    chosen = list(range(n)) if units is None else sorted(set(units))
    if not chosen or chosen[0] < 0 or chosen[-1] >= n:
        raise ModelError(f"expected some of the {n} hidden units of {source}, got {units}")
    if old == new:
        return wired
    stay = [unit for unit in range(n) if unit not in set(chosen)]
    images = {edge: of for edge, of in wired.images.items() if old not in Edge(edge).ends}
    images |= _links(wired, old, stay)
    for edge, of in _links(wired, old, chosen).items():
        moved = renamed(edge, old, new)
        _check_order(Edge(moved), new)
        images[moved] = tuple(dict.fromkeys((*images.get(moved, ()), *of)))
    varying = wired.varying - {str(old)}
    for node, part in ((old, stay), (new, chosen)):
        if _varies(wired, old, part):
            varying |= {str(node)}
    moved_model = _with_units(model, old.layer, new.layer, chosen, stay)
    return replace(wired, model=moved_model, images=images, varying=varying)


def _links(wired: Wired, mlp: Node, units: Sequence[int]) -> Images:
    """The edges into and out of an MLP that some of its units need, and what these stand for.

    Where they read nothing but constants of a source, the edge stands for none.
    """
    model, found = wired.model, {}
    writing = [unit for unit in units if model.W_out[mlp.layer, unit].any()]
    reads, writes = _reads(model, mlp, writing), model.W_out[mlp.layer, writing]
    for edge, of in wired.images.items():
        source, target = Edge(edge).ends
        if target == mlp and meet(varied(model, source, wired.compiled.vocabulary), reads):
            found[edge] = of
        elif target == mlp and meet(written(model, source), reads):
            found[edge] = ()
        elif source == mlp and meet(writes, read(model, Edge(edge).destination)):
            found[edge] = of
    return found


def _varies(wired: Wired, mlp: Node, units: Sequence[int]) -> bool:
    """Whether some of an MLP's units read anything that differs between inputs."""
    before = [Node(node) for node in wired.varying if Node(node).depth < mlp.depth]
    reads, vocabulary = _reads(wired.model, mlp, units), wired.compiled.vocabulary
    return any(meet(varied(wired.model, node, vocabulary), reads) for node in before)


def _reads(model: Transformer, mlp: Node, units: Sequence[int]) -> Float[Tensor, "d_model unit"]:
    return model.W_in[mlp.layer][:, list(units)]


def _check_order(edge: Edge, mlp: Node) -> None:
    """Raise ModelError for an edge that leads backwards now."""
    if edge.source.depth >= edge.target.depth:
        source, target = edge.ends
        side = f"after {source}" if target == mlp else f"before {target}"
        raise ModelError(f"expected an MLP {side}, with which the units are linked, got {mlp}")


def _with_units(
    model: Transformer, old: int, new: int, chosen: Sequence[int], stay: Sequence[int]
) -> Transformer:
    """The weights with the units of one layer behind those of another."""
    hidden = [*model.hidden, *[0] * (new + 1 - len(model.hidden))]
    start = hidden[new]
    stop = hidden[new] = start + len(chosen)
    hidden[old] = len(stay)
    moved = grown(model, hidden=hidden, n_layers=len(hidden))
    with torch.no_grad():
        for name in ("W_in", "b_in", "W_out"):
            mine, weights = getattr(model, name)[old], getattr(moved, name)
            by_unit = weights.mT if name == "W_in" else weights
            mine = mine.mT if name == "W_in" else mine
            by_unit[old] = 0.0
            by_unit[old, : len(stay)] = mine[list(stay)]
            by_unit[new, start:stop] = mine[list(chosen)]
    return moved
