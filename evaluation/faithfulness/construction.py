"""Circuits of any size out of scores: the highest edges, or a circuit grown from logits backwards.

As EAP-IG has them (Hanna, Pezzelle and Belinkov, 2024). A circuit is a mask over the graph's edges,
True for those that are in. Both ways rank all edges once and take the first n of that order, so
that a larger circuit holds every smaller one. Ties are in the graph's order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import GraphError, UnknownNameError
from knowncircuits.evaluation.choices import RESOLUTION, Construction, RankBy
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.graph import Graph, check_edge_vector

Members = Bool[np.ndarray, " edge"]
Order = Int[np.ndarray, " edge"]


@takes(scores=Scores)
def top_n(
    scores: Scores,
    n: int,
    *,
    rank_by: RankBy | None = None,
    pruned: bool = False,
    resolution: float = RESOLUTION,
) -> Members:
    """The n highest edges.

    Args:
        scores: of every edge.
        n: how many edges.
        rank_by: `absolute` or `signed`; by default as the method ranks.
        pruned: leave out those of them that lie on no path from an input to logits.
        resolution: scores that this share of the largest does not tell apart are ties, see
            `ranking.at_resolution`.

    Raises GraphError for an n that is not between 0 and the number of edges.
    """
    return _first(scores, n, edge_order(scores, "top-n", rank_by, resolution), pruned)


@takes(scores=Scores)
def greedy(
    scores: Scores,
    n: int,
    *,
    rank_by: RankBy | None = None,
    pruned: bool = False,
    resolution: float = RESOLUTION,
) -> Members:
    """N edges, always the highest into a node that is in already; at first only logits is.

    A node is in with the first edge out of it. All three inputs of a head lead into that head. So
    every edge leads on to logits, but not every one comes from an input: `pruned` leaves those out.

    Args and Raises: see `top_n`.
    """
    return _first(scores, n, edge_order(scores, "greedy", rank_by, resolution), pruned)


def edge_order(
    scores: Scores,
    construction: Construction = "top-n",
    rank_by: RankBy | None = None,
    resolution: float = RESOLUTION,
) -> Order:
    """All edges in the order in which a construction takes them; ties in the graph's.

    Raises UnknownNameError for another construction or ranking, InputError for a resolution that is
    not from 0 to below 1.
    """
    if construction not in CONSTRUCTIONS:
        raise UnknownNameError("construction", construction, CONSTRUCTIONS)
    chosen = rank_by or scores.rank_by
    if chosen not in get_args(RankBy):
        raise UnknownNameError("ranking", chosen, get_args(RankBy))
    ranks = replace(scores, rank_by=chosen).ranks(resolution)
    return CONSTRUCTIONS[construction](scores.graph, ranks)


def prune(graph: Graph, members: Members) -> Members:
    """Those of the edges that lie on a path of them from an input to logits.

    What is left out makes no difference where edges outside read another input's values: a node
    without edges into it writes what it wrote there. Under mean and zero ablation it does not.
    """
    check_edge_vector(graph, members, "members")
    edges, targets = (ends[np.asarray(members, dtype=bool)[graph.feeds[0]]] for ends in graph.feeds)
    sources = graph.source_of_edge[edges]
    # In the order of computation, by their destinations.
    steps = list(zip(edges.tolist(), sources.tolist(), targets.tolist(), strict=True))
    reached, needed = set(range(len(graph.inputs))), {len(graph.nodes) - 1}
    for _, source, target in steps:
        if source in reached:
            reached.add(target)
    for _, source, target in steps[::-1]:
        if target in needed:
            needed.add(source)
    return as_members(graph, sorted({i for i, s, t in steps if s in reached and t in needed}))


def as_members(graph: Graph, places: Sequence[int] | np.ndarray) -> Members:
    """The mask of the edges at these places."""
    members = np.zeros(graph.n_edges, dtype=bool)
    members[np.asarray(places, dtype=int)] = True
    return members


def _first(scores: Scores, n: int, order: Order, pruned: bool) -> Members:
    graph = scores.graph
    if not 0 <= n <= graph.n_edges:
        raise GraphError(f"expected 0 to {graph.n_edges} edges, got {n}")
    members = as_members(graph, order[:n])
    return prune(graph, members) if pruned else members


def _highest_first(graph: Graph, ranking: Float[np.ndarray, " edge"]) -> Order:
    return np.argsort(-ranking, kind="stable")


def _backwards(graph: Graph, ranking: Float[np.ndarray, " edge"]) -> Order:
    sources, (edges, targets) = graph.source_of_edge, graph.feeds
    seen, heap, order = set[int](), list[tuple[float, int]](), list[int]()
    entered = np.zeros(graph.n_edges, dtype=bool)  # what a group of heads reads is there once

    def enter(node: int) -> None:
        seen.add(node)
        for i in edges[targets == node]:
            if not entered[i]:
                entered[i] = True
                heapq.heappush(heap, (-float(ranking[i]), int(i)))

    enter(len(graph.nodes) - 1)
    while heap:
        _, i = heapq.heappop(heap)
        order.append(i)
        if sources[i] not in seen:
            enter(int(sources[i]))
    return np.array(order)


CONSTRUCTIONS: dict[Construction, Callable[[Graph, Float[np.ndarray, " edge"]], Order]] = {
    "top-n": _highest_first,
    "greedy": _backwards,
}
