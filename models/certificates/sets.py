"""The sets of edges that a certificate measures, beside single edges and nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from knowncircuits.circuit import Circuit, Label
from knowncircuits.graph import Graph
from knowncircuits.models.certificates.agreement import Sets

# As certificates name them.
RANDOM = ("random inside", "random outside", "random mixed")
NOTHING, OUTSIDE, ONE_OUTSIDE = "nothing", "outside", "one outside"
# Names of sets in strata. The rest is every edge that is not inside: outside or undetermined.
REST, RANDOM_REST, ONE_OF_REST = "the rest", "random of the rest", "one of the rest"
RANDOM_INSIDE, INSIDE_AND_BYSTANDERS = "random inside", "random inside with bystanders"
Group = dict[str, Sets]


def edge_set(graph: Graph, edges: Sequence[int] | np.ndarray) -> Sets:
    """One set for all pairs, of the edges at these places."""
    members = np.zeros((1, graph.n_edges), dtype=bool)
    members[0, np.asarray(edges, dtype=np.int64)] = True
    return members


def outside_set(circuit: Circuit) -> Group:
    """All outside edges at once, if there are any."""
    outside = circuit.labels == Label.OUT
    return {OUTSIDE: outside[None]} if outside.any() else {}


def drawn_among(circuit: Circuit) -> dict[str, Bool[np.ndarray, " edge"]]:
    """The edges that each kind of random set is drawn among, where there are any."""
    labels = circuit.labels
    sides = labels == Label.IN, labels == Label.OUT, circuit.determined
    return {name: among for name, among in zip(RANDOM, sides, strict=True) if among.any()}


def random_sets(circuit: Circuit, n_pairs: int, rng: np.random.Generator) -> Group:
    """Another set of edges for each pair, of random density but never empty."""
    sets = {}
    for name, among in drawn_among(circuit).items():
        density = rng.random((n_pairs, 1), dtype=np.float32)
        drawn = rng.random((n_pairs, len(among)), dtype=np.float32) < density
        drawn[np.arange(n_pairs), rng.choice(np.flatnonzero(among), n_pairs)] = True
        sets[name] = drawn & among
    return sets


def one_outside(circuit: Circuit, n_pairs: int, rng: np.random.Generator) -> Group:
    """One outside edge for each pair, all dealt out as often as each other, if there are any."""
    outside = np.flatnonzero(circuit.labels == Label.OUT)
    if not len(outside):
        return {}
    dealt = np.zeros((n_pairs, len(circuit.labels)), dtype=bool)
    dealt[np.arange(n_pairs), np.resize(rng.permutation(outside), n_pairs)] = True
    return {ONE_OUTSIDE: dealt}


def bystanders(circuit: Circuit) -> Bool[np.ndarray, " edge"]:
    """The edges of the rest that carry nothing: those that join inside edges in sets.

    An undetermined edge that carries something may change answers beside an inside one, in the
    compiled model too: what it carries is another thing than the inside edge's then.
    """
    carrying = np.array([edge in circuit.carries for edge in circuit.graph.edges], dtype=bool)
    found: np.ndarray = (circuit.labels != Label.IN) & ~carrying
    return found


def rest_of(circuit: Circuit) -> Group:
    """For each source its edges of the rest, where there are any.

    What single edges change, all of the rest together may cancel.
    """
    rest, sources = circuit.labels != Label.IN, circuit.graph.source_of_edge
    sets = {
        f"{REST} of {source}": (rest & (sources == place))[None]
        for place, source in enumerate(circuit.graph.sources)
    }
    return {name: rows for name, rows in sets.items() if rows.any()}


def in_company(edge: str) -> str:
    """The name of the sets of one inside edge and bystanders."""
    return f"{edge} with bystanders"


@dataclass(frozen=True, eq=False)
class StratumSets:
    """The sets of edges that are drawn anew for each pair of a stratum."""

    inside: Bool[np.ndarray, "pair edge"]  # random ones of the inside edges
    rest: Bool[np.ndarray, "pair edge"]  # random ones of the rest
    one: Bool[np.ndarray, "pair edge"]  # one of the rest, all dealt out as often as each other
    beside: Bool[np.ndarray, "pair edge"]  # all bystanders, or in every other pair a part

    @classmethod
    def draw(cls, circuit: Circuit, n_pairs: int, rng: np.random.Generator) -> StratumSets:
        """Draw sets of random density; they are empty where there are no edges to draw among.

        What one bystander does beside an inside edge, another may undo, so not all are always in.
        """
        inside = circuit.labels == Label.IN
        density = rng.random((2, n_pairs, 1), dtype=np.float32)
        among = np.stack([inside, ~inside])[:, None]
        drawn = (rng.random((2, n_pairs, len(inside)), dtype=np.float32) < density) & among
        one = np.zeros((n_pairs, len(inside)), dtype=bool)
        if not inside.all():
            dealt = np.resize(rng.permutation(np.flatnonzero(~inside)), n_pairs)
            one[np.arange(n_pairs), dealt] = True
        beside = bystanders(circuit) & drawn[1]
        beside[::2] = bystanders(circuit)
        return cls(drawn[0], drawn[1], one, beside)
