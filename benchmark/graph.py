"""The residual-stream graph of a transformer: who can read what whom wrote, in one fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float

from knowncircuits.checks.naming import as_floats, named_values
from knowncircuits.errors import GraphError
from knowncircuits.names import LOGITS, QKV, Destination, Edge, Node, edge_names
from knowncircuits.shown import counted


@dataclass(frozen=True)
class Block:
    """The edges into one group of destinations that all see the same sources.

    A block's edges lie next to each other in the graph's order, destination by destination, so a
    vector over edges becomes a matrix [destination, source] by a reshape.
    """

    destinations: tuple[Destination, ...]
    n_sources: int  # the first so many sources of the graph
    start: int
    stop: int


@dataclass(frozen=True)
class Graph:
    """Sources, destinations and edges of a transformer with sequential attention and MLPs.

    Scores, labels and masks are vectors over `edges`, in that order: layer by layer the heads' q
    inputs, their k inputs, their v inputs, then the MLP, and `logits` last; for each destination,
    the sources in order.
    """

    n_layers: int
    n_heads: int
    mlp: bool = True
    inputs: tuple[str, ...] = ("embed", "pos")

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.n_heads < 1:
            raise GraphError(
                f"expected at least one layer and one head, got {self.n_layers} and {self.n_heads}"
            )
        if self.inputs not in (("embed", "pos"), ("embed",), ("input",)):
            raise GraphError(
                f"expected inputs ('embed', 'pos'), ('embed',) or ('input',), got {self.inputs}"
            )

    @cached_property
    def sources(self) -> tuple[Node, ...]:
        """Every node that writes to the residual stream, in the order of writing."""
        nodes = [Node(name) for name in self.inputs]
        for layer in range(self.n_layers):
            nodes += [Node.of_head(layer, head) for head in range(self.n_heads)]
            if self.mlp:
                nodes.append(Node.of_mlp(layer))
        return tuple(nodes)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The sources and `logits`."""
        return (*self.sources, LOGITS)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The groups of destinations: a layer's q, its k, its v, its MLP; `logits` at the end."""
        blocks: list[Block] = []

        def add(destinations: Iterable[Destination], n_sources: int) -> None:
            destinations = tuple(destinations)
            start = blocks[-1].stop if blocks else 0
            stop = start + len(destinations) * n_sources
            blocks.append(Block(destinations, n_sources, start, stop))

        seen = len(self.inputs)
        for layer in range(self.n_layers):
            heads = [Node.of_head(layer, head) for head in range(self.n_heads)]
            for letter in QKV:
                add((Destination.of(head, letter) for head in heads), seen)
            seen += self.n_heads
            if self.mlp:
                add((Destination(Node.of_mlp(layer)),), seen)
                seen += 1
        add((Destination(LOGITS),), seen)
        return tuple(blocks)

    @cached_property
    def destinations(self) -> tuple[Destination, ...]:
        """Every input that can be patched on its own: a head has three."""
        return tuple(d for block in self.blocks for d in block.destinations)

    @cached_property
    def edges(self) -> tuple[str, ...]:
        """The names `source->destination` in the graph's order; `edge` gives one with its parts."""
        into_each = (
            edge_names(self.sources[: block.n_sources], destination)
            for block in self.blocks
            for destination in block.destinations
        )
        return tuple(chain.from_iterable(into_each))

    @cached_property
    def edge_index(self) -> Mapping[str, int]:
        """The place of each edge in the order."""
        return {edge: i for i, edge in enumerate(self.edges)}

    @cached_property
    def source_of_edge(self) -> np.ndarray:
        """The index into `sources` of each edge's source."""
        per_block = [np.tile(np.arange(b.n_sources), len(b.destinations)) for b in self.blocks]
        return np.concatenate(per_block)

    @cached_property
    def destination_of_edge(self) -> np.ndarray:
        """The index into `destinations` of each edge's destination."""
        widths = [b.n_sources for b in self.blocks for _ in b.destinations]
        return np.repeat(np.arange(len(self.destinations)), widths)

    @cached_property
    def target_of_edge(self) -> np.ndarray:
        """The index into `nodes` of the node that each edge feeds."""
        places = {node: i for i, node in enumerate(self.nodes)}
        targets = np.array([places[destination.node] for destination in self.destinations])
        of_edge: np.ndarray = targets[self.destination_of_edge]
        return of_edge

    @property
    def n_edges(self) -> int:
        """How many edges there are, by the sizes alone: nothing is listed for it."""
        layers, heads, mlp, inputs = self.n_layers, self.n_heads, self.mlp, len(self.inputs)
        # Each layer adds heads and an MLP to what the next one's 3 * heads + mlp inputs see.
        before = inputs * layers + (heads + mlp) * layers * (layers - 1) // 2
        into_layers = (3 * heads + mlp) * before + mlp * heads * layers
        return into_layers + inputs + (heads + mlp) * layers

    def index(self, edge: str) -> int:
        """The place of one edge; raises GraphError for a name that is not in the graph."""
        if edge not in self.edge_index:
            raise GraphError(f"unknown edge {edge!r} in a graph of {self.summary()}")
        return self.edge_index[edge]

    def edge(self, index: int) -> Edge:
        """The edge at a place in the order."""
        source, destination = self.source_of_edge[index], self.destination_of_edge[index]
        return Edge.between(self.sources[source], self.destinations[destination])

    def edges_from(self, source: str) -> np.ndarray:
        """Indices of the edges out of a node: patching them all patches the node."""
        if source not in self.sources:
            raise GraphError(
                f"unknown source {source!r}; expected one of {', '.join(self.sources)}"
            )
        return np.flatnonzero(self.source_of_edge == self.sources.index(source))

    def vector(self, values: Mapping[str, float]) -> Float[np.ndarray, " edge"]:
        """Put one value per edge name into the graph's order.

        Raises GraphError, naming them, for unknown or missing edges.
        """
        unknown = [e for e in values if e not in self.edge_index]
        missing = [e for e in self.edges if e not in values]
        for kind, names in (("unknown", unknown), ("missing", missing)):
            if names:
                shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                raise GraphError(f"{len(names)} {kind} edges for {self.summary()}: {shown}")
        return np.array([values[e] for e in self.edges], dtype=np.float64)

    def summary(self) -> str:
        """The sizes, for messages."""
        layers, heads = counted(self.n_layers, "layer"), counted(self.n_heads, "head")
        return f"{layers}, {heads}, {counted(self.n_edges, 'edge')}"

    def merge_inputs(self) -> Graph:
        """The graph with one node `input` in place of `embed` and `pos`, as EAP-IG has it."""
        return Graph(self.n_layers, self.n_heads, self.mlp, ("input",))


def check_edge_vector(graph: Graph, values: Any, what: str) -> np.ndarray:
    """`values` as floats over the graph's edges.

    Args:
        graph: gives the order.
        values: an array, a tensor or a sequence in that order; or by the names of edges, see
            `naming.named_values`.
        what: what messages call them.

    Raises GraphError for unknown or missing names, a wrong shape, NaN or infinity, and no numbers.
    """
    named = named_values(values, what)
    try:
        vector = as_floats(values) if named is None else graph.vector(named)
    except (TypeError, ValueError, RuntimeError) as error:
        raise GraphError(f"expected {what} as numbers, got {type(values).__name__}") from error
    if vector.shape != (graph.n_edges,):
        raise GraphError(f"expected {what} of shape [{graph.n_edges}], got {list(vector.shape)}")
    if not np.isfinite(vector).all():
        bad = [graph.edges[i] for i in np.flatnonzero(~np.isfinite(vector))[:5]]
        raise GraphError(f"expected finite {what}, got NaN or infinity at {', '.join(bad)}")
    return vector
