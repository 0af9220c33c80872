"""Gates: which of the edges into a node have to be kept for what it writes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from knowncircuits.circuit import Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.names import LOGITS
from knowncircuits.sets import Gate, GateKind

ATOL = 1e-6  # of what a node writes
MAX_FAN_IN = 10  # a table has a place for each set of edges

Table = Bool[np.ndarray, " set"]
# Of how many edges are kept, of how many, whether that is enough.
KINDS: dict[GateKind, Callable[[int, int], bool]] = {
    "and": lambda kept, of: kept == of,
    "or": lambda kept, of: kept > 0,
    "xor": lambda kept, of: (of - kept) % 2 == 0,
    "majority": lambda kept, of: 2 * kept > of,
}


def gates_of(compiled: Compiled, clean: Tensor, corrupted: Tensor) -> tuple[Gate, ...]:
    """The gate of every node into which several edges of the circuit lead.

    A node has a gate if it writes something else for some pair when all of these edges read the
    corrupted input, and if there are at most 10 of these edges.
    """
    graph, inside = compiled.model.graph, compiled.circuit.labels == Label.IN
    with torch.no_grad():
        alternative = compiled.model.run(corrupted).outputs
    found = []
    for place, node in enumerate(graph.nodes):
        edges = np.flatnonzero(inside & (graph.target_of_edge == place))
        if not 2 <= len(edges) <= MAX_FAN_IN:
            continue
        patched = np.arange(2 ** len(edges))[:, None] >> np.arange(len(edges)) & 1
        masks = torch.zeros(len(patched), graph.n_edges).to(alternative)
        masks[:, edges] = torch.from_numpy(patched).to(alternative)
        changes = torch.stack([_changes(compiled, clean, alternative, m, place) for m in masks])
        stays = (changes.abs() <= ATOL).flatten(1).all(1).cpu().numpy()
        if stays.all():
            continue
        table = stays[::-1]  # by the edges that are kept, not by those that are patched
        kind = "add" if _adds_up(changes, masks[:, edges]) else kind_of(table)
        bits = "".join("01"[int(enough)] for enough in table)
        names = tuple(graph.edges[i] for i in edges)
        found.append(Gate(node, names, kind, bits))
    return tuple(found)


def kind_of(table: Table) -> GateKind:
    """The name of a gate, by its table."""
    kept = np.bitwise_count(np.arange(len(table))).tolist()
    for kind, enough in KINDS.items():
        if table.tolist() == [enough(n, kept[-1]) for n in kept]:
            return kind
    return "table"


def _changes(
    compiled: Compiled, clean: Tensor, alternative: Tensor, mask: Tensor, place: int
) -> Float[Tensor, "pair pos d"]:
    """By how much what a node writes changes, behind BOS; of `logits`, the logits."""
    model = compiled.model
    with torch.no_grad():
        before, after = model.run(clean), model.run(clean, alternative, mask[None])
    if model.graph.nodes[place] == LOGITS:
        return (after.logits - before.logits)[:, 1:]
    return (after.outputs - before.outputs)[:, place, 1:]


def _adds_up(changes: Float[Tensor, "set pair pos d"], masks: Float[Tensor, "set edge"]) -> bool:
    """Whether each edge changes what is written, and several change it by the sum."""
    singles = changes[[1 << i for i in range(masks.shape[1])]]
    if not (singles.abs() > ATOL).flatten(1).any(1).all():
        return False
    sums = torch.einsum("se,e...->s...", masks, singles)
    return bool(((changes - sums).abs() <= ATOL * masks.shape[1]).all())
