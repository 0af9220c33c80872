"""Which edges of a low-level transformer stand for which edges of a compiled one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import GraphError
from knowncircuits.graph import Graph
from knowncircuits.names import EMBED, LOGITS, POS, Edge, Kind, Node
from knowncircuits.shown import Card, Shown, Table, counted

FIXED = (EMBED, POS, LOGITS)
ATTEMPTS = 1_000


@dataclass(frozen=True, eq=False, repr=False)
class Correspondence(Shown):
    """An injective placement of a compiled circuit's nodes among those of a low-level graph.

    A head goes to a head and an MLP to an MLP; `embed`, `pos` and `logits` stay. Every edge that
    carries a variable must lead from an earlier to a later place.

    A low-level graph of rotary positions has no `pos`. Edges out of it have no image there: heads
    have positions in their queries and keys, and nothing else may read them.
    """

    high: Circuit
    low: Graph
    nodes: Mapping[str, str]  # compiled node: low-level node

    def __post_init__(self) -> None:
        problems = []
        kinds: dict[str, Kind] = {node: node.kind for node in self.high.graph.nodes}
        for high, low in self.nodes.items():
            if low not in self.low.nodes:
                problems.append(f"{high} to {low}, which is not in {self.low.summary()}")
            elif kinds.get(high) != Node(low).kind:
                problems.append(f"{high} to {low}, which is of another kind")
        taken = Counter(self.nodes.values())
        problems += [f"several nodes to {low}" for low, n in taken.items() if n > 1]
        placeable = _placeable(self.high, self.low)
        missing = [node for node in placeable if node not in self.nodes]
        if missing:
            problems.append(f"no place for {', '.join(missing)}")
        problems += [
            f"{edge}, which rotary positions cannot carry"
            for edge in self.high.carrying_edges
            if edge.source not in placeable and edge.destination.letter not in ("q", "k")
        ]
        if not problems:
            problems = [
                f"{edge} backwards, from {source} to {target}"
                for edge in self._placed_edges
                for source, target in [edge.placed(self.nodes).ends]
                if source.depth >= target.depth
            ]
        if problems:
            raise GraphError(f"an impossible placement: {'; '.join(problems)}")

    def _card(self) -> Card:
        return Card(
            "",
            (f"{counted(len(self.nodes), 'node')} placed in {self.low.summary()}",),
            self._tables,
        )

    def _tables(self) -> list[Table]:
        return [Table("Places", ("compiled node", "stands at"), tuple(self.nodes.items()))]

    @classmethod
    @takes(circuit=Circuit, low=Graph)
    def same_names(cls, circuit: Circuit, low: Graph) -> Correspondence:
        """Every node at the low-level node of the same name; GraphError where there is none."""
        return cls(circuit, low, {node: node for node in _placeable(circuit, low)})

    @classmethod
    @takes(circuit=Circuit, low=Graph)
    def shuffled(
        cls, circuit: Circuit, low: Graph, seed: int, fixed: Mapping[str, str] | None = None
    ) -> Correspondence:
        """A random placement: any free head or MLP between what a node reads and what reads it.

        Nodes that are `fixed` go where that says.

        Raises GraphError if none is found: the low-level graph is too shallow or too narrow.
        """
        rng = np.random.default_rng(seed)
        latest = _latest(circuit, low)
        for _ in range(ATTEMPTS if latest else 0):
            nodes = _place(circuit, low, latest, fixed or {}, rng)
            if nodes is not None:
                return cls(circuit, low, nodes)
        raise GraphError(
            f"expected room for {', '.join(circuit.carrying_nodes)}, got {low.summary()}, where "
            f"{ATTEMPTS} random placements all failed"
        )

    @property
    def _placed_edges(self) -> list[Edge]:
        """The compiled edges that carry something from a node with a place."""
        return [edge for edge in self.high.carrying_edges if edge.source in self.nodes]

    @cached_property
    def image(self) -> Int[np.ndarray, " low_edge"]:
        """The index of the compiled edge that each low-level edge stands for, -1 for none."""
        image = np.full(self.low.n_edges, -1)
        for edge in self._placed_edges:
            image[self.low.index(edge.placed(self.nodes))] = self.high.graph.index(edge)
        return image

    @cached_property
    def circuit(self) -> Circuit:
        """The circuit that the low-level model is to have.

        Edges without an image are out, but for those out of `pos`, which no interchange can tell.
        """
        labels = np.full(self.low.n_edges, Label.OUT, dtype=np.int8)
        if POS in self.low.sources:
            labels[self.low.edges_from(POS)] = Label.UNDETERMINED
        has_image = self.image >= 0
        labels[has_image] = self.high.labels[self.image[has_image]]
        carries = {
            self.low.edges[i]: self.high.carries[self.high.graph.edges[self.image[i]]]
            for i in np.flatnonzero(has_image)
        }
        roles = {
            str(self.nodes[node]): role
            for node, role in self.high.roles.items()
            if node in self.nodes
        }
        return Circuit(self.low, labels, carries, roles=roles)

    @property
    def inside(self) -> Bool[np.ndarray, " low_edge"]:
        """The low-level edges whose interchange is to change what the compiled one's changes."""
        inside: np.ndarray = self.circuit.labels == Label.IN
        return inside


def _placeable(circuit: Circuit, low: Graph) -> list[Node]:
    """The nodes that carry something, without `pos` where the low-level graph has none."""
    return [n for n in circuit.carrying_nodes if n != POS or POS in low.sources]


def _latest(circuit: Circuit, low: Graph) -> dict[Node, float]:
    """The greatest depth that leaves room for what reads a node; nothing if one has no room."""
    latest = {LOGITS: float("inf")}
    for node in reversed(circuit.carrying_nodes):
        if node not in FIXED:
            before = min(
                latest[edge.target] for edge in circuit.carrying_edges if edge.source == node
            )
            depths = [place.depth for place in _kind(low, node) if place.depth < before]
            if not depths:
                return {}
            latest[node] = max(depths)
    return latest


def _place(
    circuit: Circuit,
    low: Graph,
    latest: Mapping[Node, float],
    fixed: Mapping[str, str],
    rng: np.random.Generator,
) -> dict[str, Node] | None:
    """One attempt: nodes in order, each anywhere after its inputs that leaves room for the rest."""
    ends = [edge.ends for edge in circuit.carrying_edges]
    nodes = _placeable(circuit, low)
    places: dict[str, Node] = {n: n for n in nodes if n in FIXED}
    for node in nodes:
        if node in FIXED:
            continue
        read = [
            places[source].depth for source, target in ends if target == node and source in places
        ]
        after = max(read, default=EMBED.depth)
        free = [
            place
            for place in _kind(low, node)
            if after < place.depth <= latest[node]
            and place not in places.values()
            and (place == fixed[node] if node in fixed else place not in fixed.values())
        ]
        if not free:
            return None
        places[node] = Node(rng.choice(free))
    return places


def _kind(low: Graph, node: Node) -> list[Node]:
    """The low-level nodes of a node's kind: heads or MLPs."""
    return [place for place in low.sources if place.kind == node.kind]
