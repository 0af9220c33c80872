"""A circuit: a graph whose every edge is labelled in, out or undetermined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from knowncircuits.checks.arguments import expect
from knowncircuits.errors import GraphError
from knowncircuits.graph import Graph
from knowncircuits.names import POS, Edge, Node, edge_names
from knowncircuits.sets import SetTruth
from knowncircuits.shown import Card, Shown, Table

Granularity = Literal["edge", "head", "node"]


class Label(IntEnum):
    """Whether an edge is in the circuit."""

    OUT = 0
    IN = 1
    UNDETERMINED = -1  # no interchange between inputs can tell


LABELS_SHOWN = (Label.IN, Label.UNDETERMINED, Label.OUT)


@dataclass(frozen=True, eq=False)
class Projection:
    """The items of a coarser view, each of one edge or of several, and which item each edge is of.

    What is computed of it takes time and memory in proportion to the edges.
    """

    names: tuple[str, ...]
    item_of_edge: Int[np.ndarray, " edge"]  # a place among the names

    def labels(self, labels: Int8[np.ndarray, " edge"]) -> Int8[np.ndarray, " item"]:
        """In where one of its edges is in, else undetermined where one of them is, else out."""
        found = np.full(len(self.names), Label.OUT, dtype=np.int8)
        for label in (Label.UNDETERMINED, Label.IN):  # the later one wins
            found[self.item_of_edge[labels == label]] = label
        return found

    def scores(self, scores: Float[np.ndarray, " edge"]) -> Float[np.ndarray, " item"]:
        """The highest score of an item's edges."""
        highest: np.ndarray = np.full(len(self.names), -np.inf)
        np.maximum.at(highest, self.item_of_edge, scores)
        return highest


def projection(graph: Graph, granularity: Granularity) -> Projection:
    """Edges as they are; edges between heads, q/k/v merged; or source nodes by what leaves them.

    Heads that share keys and values are merged to their group where q, k and v are.

    Raises GraphError for another granularity.
    """
    if granularity == "edge":
        return Projection(graph.edges, np.arange(graph.n_edges))
    if granularity == "node":
        return Projection(graph.sources, graph.source_of_edge)
    if granularity != "head":
        raise GraphError(f"expected granularity 'edge', 'head' or 'node', got {granularity!r}")
    whole = [graph.input_of(destination.node, "") for destination in graph.destinations]
    readers = {name: i for i, name in enumerate(dict.fromkeys(whole))}
    reader = np.array([readers[name] for name in whole])[graph.destination_of_edge]
    pairs = graph.source_of_edge * len(readers) + reader
    _, first, items = np.unique(pairs, return_index=True, return_inverse=True)
    places = first.argsort().argsort()  # the graph's: an item stands where its first edge does
    names = (
        edge_names(graph.sources[: block.n_sources], destination)
        for block in graph.blocks
        if block.destinations[0].letter in ("q", "")
        for destination in dict.fromkeys(graph.input_of(d.node, "") for d in block.destinations)
    )
    return Projection(tuple(chain.from_iterable(names)), places[items])


@dataclass(frozen=True, eq=False, repr=False)
class Circuit(Shown):
    """Labels over a graph's edges and, where known, what each carries and what they do together.

    Nodes may have roles: what they are for, in words; see `knowncircuits.roles`.
    """

    graph: Graph
    labels: Int8[np.ndarray, " edge"]
    carries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # edge: variables
    sets: SetTruth | None = None  # on the pairs of a task
    roles: Mapping[str, str] = field(default_factory=dict)  # by node, of those that have one

    def __post_init__(self) -> None:
        expect(self.graph, Graph, "graph")
        expect(self.labels, np.ndarray, "labels")
        if self.labels.shape != (self.graph.n_edges,):
            raise GraphError(
                f"expected labels of shape [{self.graph.n_edges}], got {list(self.labels.shape)}"
            )
        wrong = set(np.unique(self.labels).tolist()) - {int(label) for label in Label}
        if wrong:
            raise GraphError(f"expected labels -1, 0 or 1, got {sorted(wrong)}")
        for edge in self.carries:
            self.graph.index(edge)
        if strange := set(self.roles) - set(self.graph.nodes):
            raise GraphError(
                f"expected roles of nodes of {self.graph.summary()}, got {min(strange)!r}"
            )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Circuit)
            and self.graph == other.graph
            and np.array_equal(self.labels, other.labels)
            and dict(self.carries) == dict(other.carries)
            and self.sets == other.sets
            and dict(self.roles) == dict(other.roles)
        )

    __hash__ = None  # type: ignore[assignment]

    def _card(self) -> Card:
        return Card("", (self.graph.summary(), self.label_counts()), self._tables)

    def _tables(self) -> list[Table]:
        inside = self.edges()
        rows = [(edge, ", ".join(self.carries.get(edge, ()))) for edge in inside]
        tables = [Table("Edges that are in", ("edge", "carries"), rows)]
        if self.roles:
            tables.append(Table("Roles", ("node", "role"), tuple(self.roles.items())))
        return tables

    def label_counts(self) -> str:
        """How many edges have each label, in words."""
        counts = ((label, int((self.labels == label).sum())) for label in LABELS_SHOWN)
        return ", ".join(f"{n:,} {label.name.lower()}" for label, n in counts)

    def label(self, edge: str) -> Label:
        """The label of one edge; raises GraphError for an unknown one."""
        return Label(self.labels[self.graph.index(edge)])

    def edges(self, label: Label = Label.IN) -> tuple[Edge, ...]:
        """The edges with a label, in the graph's order."""
        return tuple(map(self.graph.edge, np.flatnonzero(self.labels == label).tolist()))

    @cached_property
    def carrying_edges(self) -> tuple[Edge, ...]:
        """The edges that carry a variable."""
        return tuple(map(Edge, self.carries))

    @cached_property
    def carrying_nodes(self) -> tuple[Node, ...]:
        """The nodes at either end of an edge that carries a variable, in the graph's order."""
        found = {node for edge in self.carrying_edges for node in (edge.source, *edge.targets)}
        return tuple(node for node in self.graph.nodes if node in found)

    @cached_property
    def inside_nodes(self) -> tuple[Node, ...]:
        """The nodes at either end of an edge that is in, in the graph's order."""
        inside = self.labels == Label.IN
        edges, targets = self.graph.feeds
        found = {*self.graph.source_of_edge[inside], *targets[inside[edges]]}
        return tuple(node for i, node in enumerate(self.graph.nodes) if i in found)

    @property
    def determined(self) -> Bool[np.ndarray, " edge"]:
        """Which edges are in or out: the ones that a method is scored on."""
        mask: np.ndarray = self.labels != Label.UNDETERMINED
        return mask

    def project(self, granularity: Granularity) -> dict[str, Label]:
        """Labels at a coarser granularity, by name."""
        view = projection(self.graph, granularity)
        labels = view.labels(self.labels)
        return {name: Label(label) for name, label in zip(view.names, labels, strict=True)}

    def merge_inputs(self) -> Circuit:
        """The circuit with one node `input` for `embed` and `pos`.

        `pos` alone tells nothing apart, so the label is `embed`'s, except that an edge on which
        only positions are read stays undetermined. `pos`, which is never in, is in no set.
        """
        if self.graph.inputs == ("input",):
            return self
        graph, sources = self.graph.merge_inputs(), self.graph.source_of_edge
        # Without the edges out of `pos` the order is that of the merged graph.
        labels = self.labels[(sources == 0) | (sources >= len(self.graph.inputs))]
        carries: dict[str, tuple[str, ...]] = {}
        for name in sorted(self.carries, key=self.graph.index):
            if variables := self.carries[name]:
                edge = of_input(name)
                carries[edge] = (*carries.get(edge, ()), *variables)
                place = graph.index(edge)
                if Edge(name).source == POS and labels[place] == Label.OUT:
                    labels[place] = Label.UNDETERMINED
        sets = self.sets and self.sets.renamed(of_input, str)
        roles = {node: role for node, role in self.roles.items() if node in graph.nodes}
        return Circuit(graph, labels, carries, sets, roles)


def of_input(edge: str) -> str:
    """The edge's name where `embed` and `pos` are one node."""
    name = Edge(edge)
    source = Node("input") if name.source.kind in ("embed", "pos") else name.source
    return Edge.between(source, name.destination)


def circuit_of(shown: object) -> Circuit:
    """A circuit, or that of a compiled or trained model; raises ArgumentError for anything else."""
    found = getattr(shown, "circuit", None)
    circuit = found if isinstance(found, Circuit) else shown
    expect(circuit, Circuit, "circuit")
    assert isinstance(circuit, Circuit)
    return circuit


def circuit_from_edges(
    graph: Graph, edges: Sequence[str], undetermined: Sequence[str] = ()
) -> Circuit:
    """The circuit of the named edges; raises GraphError for unknown ones."""
    labels = np.zeros(graph.n_edges, dtype=np.int8)
    labels[[graph.index(edge) for edge in undetermined]] = Label.UNDETERMINED
    labels[[graph.index(edge) for edge in edges]] = Label.IN
    return Circuit(graph, labels)
