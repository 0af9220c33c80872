"""Circuits out of scores: against plain implementations, and what must hold of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowncircuits.errors import GraphError, UnknownNameError
from knowncircuits.evaluation.choices import RankBy
from knowncircuits.evaluation.faithfulness.construction import edge_order, greedy, prune, top_n
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.graph import Graph
from knowncircuits.names import Edge
from parts import examples

GRAPHS = st.builds(
    Graph,
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([("embed", "pos"), ("embed",), ("input",)]),
)


@st.composite
def scored(draw: st.DrawFn) -> Scores:
    """Scores with signs and many ties."""
    graph = draw(GRAPHS)
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    values = rng.integers(-4, 5, graph.n_edges) / draw(st.sampled_from([1, 3]))
    return Scores(graph, values, "random", draw(st.sampled_from(["absolute", "signed"])))


def test_scores_nearer_than_the_resolution_are_in_the_graphs_order() -> None:
    graph = Graph(1, 1)
    values = np.zeros(graph.n_edges)
    values[[0, 5, 9]] = 1e-9, 1, 2e-9
    scores = Scores(graph, values, "test")
    assert np.flatnonzero(top_n(scores, 3)).tolist() == [0, 1, 5]
    assert np.flatnonzero(top_n(scores, 3, resolution=0)).tolist() == [0, 5, 9]
    assert edge_order(scores, resolution=0)[:3].tolist() == [5, 9, 0]


def plain_greedy(scores: Scores, n: int) -> set[str]:
    """Look at all edges anew for every one that is taken."""
    chosen: list[str] = []
    nodes: set[str] = {"logits"}
    ranked = [
        (r, -i, e) for i, (r, e) in enumerate(zip(scores.ranking, scores.graph.edges, strict=True))
    ]
    for _ in range(n):
        open_edges = [x for x in ranked if Edge(x[2]).target in nodes and x[2] not in chosen]
        chosen.append(max(open_edges)[2])
        nodes.add(Edge(chosen[-1]).source)
    return set(chosen)


def plain_prune(graph: Graph, edges: set[str]) -> set[str]:
    """Remove edges that begin or end in nothing until none is left."""
    while True:
        read = {Edge(edge).target for edge in edges} | set(graph.inputs)
        wrote = {Edge(edge).source for edge in edges} | {"logits"}
        kept = {e for e in edges if Edge(e).source in read and Edge(e).target in wrote}
        if kept == edges:
            return kept
        edges = kept


def named(graph: Graph, members: np.ndarray) -> set[str]:
    return {graph.edges[i] for i in np.flatnonzero(members)}


@settings(max_examples=examples(25))
@given(scored(), st.floats(0, 1))
def test_circuits_equal_those_of_plain_implementations(scores: Scores, share: float) -> None:
    graph, n = scores.graph, round(share * scores.graph.n_edges)
    highest = {edge for edge, _ in scores.top(n)}
    grown = plain_greedy(scores, n)
    for build, expected in ((top_n, highest), (greedy, grown)):
        assert named(graph, build(scores, n)) == expected
        assert named(graph, build(scores, n, pruned=True)) == plain_prune(graph, expected)


@settings(max_examples=examples(25))
@given(scored(), st.data())
def test_what_holds_of_every_circuit(scores: Scores, data: st.DataObject) -> None:
    graph = scores.graph
    small, large = sorted(data.draw(st.tuples(*[st.integers(0, graph.n_edges)] * 2)))
    for build in (top_n, greedy):
        for pruned in (False, True):  # a larger circuit holds every smaller one
            some = build(scores, small, pruned=pruned)
            assert not (some & ~build(scores, large, pruned=pruned)).any()
        assert build(scores, large).sum() == large
        assert build(scores, graph.n_edges, pruned=True).all()
    edges = named(graph, greedy(scores, large))
    assert {Edge(e).ends[1] for e in edges} <= {Edge(e).ends[0] for e in edges} | {"logits"}


@settings(max_examples=examples(50))
@given(GRAPHS, st.integers(0, 2**31), st.sampled_from([0.1, 0.3, 0.6]))
def test_pruning_keeps_what_lies_on_paths(graph: Graph, seed: int, density: float) -> None:
    members = np.random.default_rng(seed).random(graph.n_edges) < density
    kept = prune(graph, members)
    assert named(graph, kept) == plain_prune(graph, named(graph, members))
    assert np.array_equal(prune(graph, kept), kept)


def example(rank_by: RankBy = "absolute") -> Scores:
    graph = Graph(2, 1, inputs=("input",))
    values = {"input->m0": 5, "m0->a1.h0<k>": -9, "a1.h0->logits": 1, "a0.h0->logits": -2}
    return Scores(graph, graph.vector(dict.fromkeys(graph.edges, 0.0) | values), "mine", rank_by)


def test_an_input_of_a_head_leads_into_the_head() -> None:
    scores, graph = example(), example().graph
    assert named(graph, top_n(scores, 1)) == {"m0->a1.h0<k>"}
    assert named(graph, top_n(scores, 1, pruned=True)) == set()
    assert named(graph, greedy(scores, 1)) == {"a0.h0->logits"}  # by its size
    assert named(graph, greedy(scores, 1, rank_by="signed")) == {"a1.h0->logits"}
    path = {"a1.h0->logits", "m0->a1.h0<k>", "input->m0"}
    assert named(graph, greedy(scores, 4)) == {*path, "a0.h0->logits"}
    assert named(graph, greedy(scores, 4, pruned=True)) == path  # nothing leads into a0.h0


def test_ties_are_in_the_order_of_the_graph() -> None:
    graph = Graph(1, 2)
    scores = Scores(graph, np.zeros(graph.n_edges), "even")
    assert edge_order(scores).tolist() == list(range(graph.n_edges))
    into_logits = [i for i, e in enumerate(graph.edges) if e.endswith("->logits")]
    assert edge_order(scores, "greedy").tolist()[0] == into_logits[0]


@pytest.mark.usefixtures("no_shape_checks")
def test_what_is_refused() -> None:
    for n in (-1, 10_000):
        with pytest.raises(GraphError, match=rf"expected 0 to 23 edges, got {n}"):
            greedy(example(), n)
    with pytest.raises(UnknownNameError, match="unknown construction 'top'"):
        edge_order(example(), "top")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown ranking 'unsigned'"):
        top_n(example(), 1, rank_by="unsigned")  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=r"expected members of shape \[23\], got \[3\]"):
        prune(example().graph, np.ones(3, dtype=bool))
