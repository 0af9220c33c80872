"""The residual-stream graph of a transformer: who can read what whom wrote, in one fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from knowncircuits.checks.naming import as_floats, named_values
from knowncircuits.errors import GraphError
from knowncircuits.names import LOGITS, QKV, Destination, Edge, Letter, Node, edge_names
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
    """Sources, destinations and edges of a transformer.

    Scores, labels and masks are vectors over `edges`, in that order: layer by layer the heads' q
    inputs, their k inputs, their v inputs, then the MLP, and `logits` last; for each destination,
    the sources in order.

    Where heads share keys and values (grouped queries: Ainslie et al., 2023, "GQA"), each group has
    one k and one v input, which feed all its heads. In parallel blocks (Wang and Komatsuzaki, 2021,
    GPT-J) an MLP reads what its layer's heads read, and not what they write.
    """

    n_layers: int
    n_heads: int
    mlp: bool = True
    inputs: tuple[str, ...] = ("embed", "pos")
    kv_heads: int | None = None  # of a layer; by default as many as heads, which are then not told
    parallel: bool = False  # whether a layer's MLP reads beside its heads and not behind them

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.n_heads < 1:
            raise GraphError(
                f"expected at least one layer and one head, got {self.n_layers} and {self.n_heads}"
            )
        if self.inputs not in (("embed", "pos"), ("embed",), ("input",)):
            raise GraphError(
                f"expected inputs ('embed', 'pos'), ('embed',) or ('input',), got {self.inputs}"
            )
        if self.kv_heads is not None and (self.kv_heads < 1 or self.n_heads % self.kv_heads):
            raise GraphError(
                f"expected key and value heads that divide {self.n_heads} heads into groups, "
                f"got {self.kv_heads}"
            )
        if self.kv_heads == self.n_heads:
            object.__setattr__(self, "kv_heads", None)
        if self.parallel and not self.mlp:
            object.__setattr__(self, "parallel", False)

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
            for letter in QKV:
                size = 1 if letter == "q" else self.group_size
                groups = (range(head, head + size) for head in range(0, self.n_heads, size))
                add((Destination.of_group(layer, heads, letter) for heads in groups), seen)
            if self.mlp:
                add((Destination(Node.of_mlp(layer)),), seen + self.n_heads * (not self.parallel))
            seen += self.n_heads + self.mlp
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
        """The index into `nodes` of the node that each edge feeds, of a group of heads the first.

        `feeds` has all.
        """
        places = {node: i for i, node in enumerate(self.nodes)}
        targets = np.array([places[destination.node] for destination in self.destinations])
        of_edge: np.ndarray = targets[self.destination_of_edge]
        return of_edge

    @cached_property
    def feeds(self) -> tuple[Int[np.ndarray, " feed"], Int[np.ndarray, " feed"]]:
        """Every edge with every node that it feeds, as places in `edges` and in `nodes`.

        One row for each edge, but an edge into a key that several heads share has a row for each of
        these heads.
        """
        if self.kv_heads is None:
            return np.arange(self.n_edges), self.target_of_edge
        sizes = np.array([len(destination.nodes) for destination in self.destinations])
        many = sizes[self.destination_of_edge]
        edges = np.repeat(np.arange(self.n_edges), many)
        # A group's heads lie next to each other among the nodes.
        places = np.arange(len(edges)) - np.repeat(many.cumsum() - many, many)
        return edges, self.target_of_edge[edges] + places

    def feeding(self, nodes: Bool[np.ndarray, " node"]) -> Bool[np.ndarray, " edge"]:
        """Which edges feed any of these nodes."""
        edges, targets = self.feeds
        found = np.zeros(self.n_edges, dtype=bool)
        found[edges[nodes[targets]]] = True
        return found

    @property
    def group_size(self) -> int:
        """How many heads share a key and a value."""
        return self.n_heads // (self.kv_heads or self.n_heads)

    def input_of(self, node: Node, letter: Letter) -> Destination:
        """What a node reads: a head its own q, and the k or v of its group.

        Without a letter, of a head all that its group reads: there q, k and v are one.
        """
        if node.kind != "head" or letter == "q":
            return Destination.of(node, letter)
        first = node.head - node.head % self.group_size
        return Destination.of_group(node.layer, range(first, first + self.group_size), letter)

    def depth(self, node: Node) -> float:
        """How deep a node sits: as `Node.depth`, but beside its layer's heads if in parallel."""
        return node.layer if self.parallel and node.kind == "mlp" else node.depth

    @property
    def n_edges(self) -> int:
        """How many edges there are, by the sizes alone: nothing is listed for it."""
        layers, heads, mlp, inputs = self.n_layers, self.n_heads, self.mlp, len(self.inputs)
        # Each layer adds heads and an MLP to what the next one's inputs see.
        before = inputs * layers + (heads + mlp) * layers * (layers - 1) // 2
        per_layer = heads + 2 * (self.kv_heads or heads) + mlp
        into_layers = per_layer * before + mlp * heads * layers * (not self.parallel)
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
        if self.kv_heads is not None:
            heads += f" in {counted(self.kv_heads, 'group')}"
        blocks = ", parallel MLPs" if self.parallel else ""
        return f"{layers}, {heads}{blocks}, {counted(self.n_edges, 'edge')}"

    def merge_inputs(self) -> Graph:
        """The graph with one node `input` in place of `embed` and `pos`, as EAP-IG has it."""
        return replace(self, inputs=("input",))


def check_position_scores(graph: Graph, values: Any, what: str) -> np.ndarray:
    """`values` as floats [edge, pos] over the graph's edges.

    Raises GraphError for another shape, NaN or infinity, and no numbers.
    """
    try:
        table = as_floats(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise GraphError(f"expected {what} as numbers, got {type(values).__name__}") from error
    if table.ndim != 2 or len(table) != graph.n_edges or not table.size:
        raise GraphError(
            f"expected {what} of shape [{graph.n_edges}, pos], got {list(table.shape)}"
        )
    if not np.isfinite(table).all():
        edge, position = np.argwhere(~np.isfinite(table))[0].tolist()
        raise GraphError(
            f"expected finite {what}, got NaN or infinity at position {position} of "
            f"{graph.edges[edge]}"
        )
    return table


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
