"""Scoring against counts of pairs, with ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.circuit import Circuit, circuit_from_edges
from knowncircuits.evaluation.scoring.scores import Scores, score, score_views
from knowncircuits.graph import Graph

GRAPH = Graph(1, 1)
vectors = st.lists(st.integers(-3, 3), min_size=GRAPH.n_edges, max_size=GRAPH.n_edges)
labels = st.lists(st.sampled_from([-1, 0, 1]), min_size=GRAPH.n_edges, max_size=GRAPH.n_edges)


@given(vectors, labels, st.sampled_from(["absolute", "signed"]))
def test_auroc_counts_pairs_and_ties_half(
    values: list[int], truth: list[int], rank_by: str
) -> None:
    scores = Scores(GRAPH, np.array(values, dtype=np.float64), "test", rank_by)  # type: ignore[arg-type]
    found = score(scores, Circuit(GRAPH, np.array(truth, dtype=np.int8)))
    ranking = [abs(v) if rank_by == "absolute" else v for v in values]
    ins = [v for v, t in zip(ranking, truth, strict=True) if t == 1]
    outs = [v for v, t in zip(ranking, truth, strict=True) if t == 0]
    assert (found.n_true, found.n_determined) == (len(ins), len(ins) + len(outs))
    if not ins or not outs:
        assert found.auroc is None
        assert found.average_precision is None
        assert found.precision_at_size is None
        return
    wins = sum((a > b) + (a == b) / 2 for a in ins for b in outs)
    assert found.auroc == pytest.approx(wins / (len(ins) * len(outs)))
    steps = sorted(set(ranking), reverse=True)
    above = [(sum(v >= s for v in ins), sum(v >= s for v in outs)) for s in steps]
    recalls = [0.0, *(i / len(ins) for i, _ in above)]
    precision = [i / (i + o) if i + o else 0.0 for i, o in above]
    area = sum((b - a) * p for a, b, p in zip(recalls, recalls[1:], precision, strict=False))
    assert found.average_precision == pytest.approx(area)


@given(vectors, labels, st.integers(-3, 3))
def test_a_methods_own_circuit(values: list[int], truth: list[int], threshold: int) -> None:
    scores = Scores(GRAPH, np.array(values, dtype=np.float64), "test", "signed", threshold)
    found = score(scores, Circuit(GRAPH, np.array(truth, dtype=np.int8))).chosen
    assert found is not None
    chosen = {i for i, v in enumerate(values) if v > threshold and truth[i] >= 0}
    true = {i for i, label in enumerate(truth) if label == 1}
    hits = len(chosen & true)
    precision = hits / len(chosen) if chosen else None
    recall = hits / len(true) if true else None
    assert (found.n_chosen, found.precision, found.recall) == (len(chosen), precision, recall)
    if precision and recall:
        assert found.f1 == pytest.approx(2 / (1 / precision + 1 / recall))
    else:
        assert found.f1 == (0.0 if chosen or true else None)


def test_views_of_scores() -> None:
    """The head's q, k and v are one: the highest counts."""
    edges = ("embed->a0.h0<k>", "a0.h0->m0", "m0->logits")
    circuit = circuit_from_edges(GRAPH, edges, [e for e in GRAPH.edges if e.startswith("pos")])
    numbers = dict.fromkeys(GRAPH.edges, 0.0) | {"embed->a0.h0<q>": 3.0, "a0.h0->m0": -2.0}
    found = score_views(Scores(GRAPH, GRAPH.vector(numbers), "test"), circuit)
    assert list(found) == ["edge", "no-embed", "head", "node"]
    assert [view.n_true for view in found.values()] == [3, 2, 3, 3]
    assert [view.n_items for view in found.values()] == [13, 8, 9, 4]
    assert found["head"].auroc == pytest.approx((2 * 3 + 1.5) / (3 * 3))
    assert found["edge"].auroc == pytest.approx((2 + 4 + 2) / 15)
    assert found["node"].auroc is None  # nothing determined is out
