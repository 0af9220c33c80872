"""From edges to nodes and back: what a node's edges do together, and nodes' scores as edges'."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from knowncircuits.evaluation.choices import RankBy
from knowncircuits.graph import Graph
from knowncircuits.names import QKV, Node


def sum_by_source(graph: Graph, edges: Float[np.ndarray, " edge"]) -> dict[str, float]:
    """For each source the sum over its edges: for first-order effects, the effect of the node."""
    sums = np.bincount(graph.source_of_edge, edges, len(graph.sources))
    return dict(zip(graph.sources, sums.tolist(), strict=True))


def spread(
    graph: Graph, nodes: Mapping[str, float], rank_by: RankBy = "absolute"
) -> Float[np.ndarray, " edge"]:
    """A score for every edge from scores of nodes: that of its end that ranks lower.

    A circuit of nodes has the edges whose two ends are in it, so an edge is in for as long as the
    weaker end is; a key that several heads share, for as long as any of them is. Nodes that have no
    score, as `logits` usually is, are always in; an edge between two such has the best of all.
    """

    def rank(score: float) -> float:
        return abs(score) if rank_by == "absolute" else score

    best = max(nodes.values(), key=rank)
    source = [nodes.get(name, best) for name in graph.sources]
    target = [max((nodes.get(n, best) for n in d.nodes), key=rank) for d in graph.destinations]
    ends = zip(graph.source_of_edge, graph.destination_of_edge, strict=True)
    return np.array([min(source[s], target[d], key=rank) for s, d in ends])


def edges_between(graph: Graph, chances: Mapping[str, float]) -> Float[np.ndarray, " edge"]:
    """The lesser chance of every edge's ends: of MLPs, and of heads' q, k and v; all others 1."""

    def written(node: Node) -> float:
        if node.kind == "head":
            return max(chances[graph.input_of(node, letter)] for letter in QKV)
        return chances.get(node, 1.0)

    sources = np.array([written(node) for node in graph.sources])
    destinations = np.array([chances.get(name, 1.0) for name in graph.destinations])
    ends = sources[graph.source_of_edge], destinations[graph.destination_of_edge]
    scores: Float[np.ndarray, " edge"] = np.minimum(*ends)
    return scores
