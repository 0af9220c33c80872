"""Scores of names against counts by hand."""

from knowncircuits.circuit import circuit_from_edges
from knowncircuits.evaluation.hardness.names import name_scores
from knowncircuits.graph import Graph


def test_names_count_where_they_are_determined() -> None:
    small, large = Graph(1, 1), Graph(2, 2)
    others = [
        circuit_from_edges(small, ["embed->m0", "m0->logits"]),
        circuit_from_edges(large, ["embed->m0"], ["m0->logits"]),
        circuit_from_edges(large, ["embed->a1.h1<q>"]),
    ]
    scores = dict(zip(large.edges, name_scores(large, others), strict=True))
    found = {edge: score for edge, score in scores.items() if score}
    assert found == {"embed->m0": 2 / 4, "m0->logits": 1 / 3, "embed->a1.h1<q>": 1 / 3}
    assert not name_scores(small, []).any()
