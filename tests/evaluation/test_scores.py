"""Scoring against counts of pairs, with ties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.scores import Scores, precision_at, score
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


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=6), st.data())
def test_precision_is_the_mean_over_ways_to_break_ties(
    items: list[tuple[bool, int]], data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(items)))
    precisions = []
    for order in itertools.permutations(items):
        chosen = sorted(order, key=lambda item: -item[1])[:size]
        precisions.append(sum(truth for truth, _ in chosen) / size)
    truth, ranking = (np.array(column) for column in zip(*items, strict=True))
    assert precision_at(truth, ranking, size) == pytest.approx(np.mean(precisions))
