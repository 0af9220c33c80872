"""Areas against scikit-learn, of many rankings with ties at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from knowncircuits.evaluation.scoring.ranking import auroc, average_precision, precision_at


@st.composite
def rankings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Truth [item] with both kinds, and rankings [2, 3, item] full of ties."""
    n = draw(st.integers(2, 12))
    truth = draw(arrays(bool, n).filter(lambda t: 0 < t.sum() < len(t)))
    numbers = st.sampled_from([-1.5, -0.0, 0.0, 1e-300, 2.0, 1e9])
    return truth, draw(arrays(np.float64, (2, 3, n), elements=numbers))


@given(rankings())
def test_areas_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    truth, ranks = drawn
    for found, judge in ((auroc, roc_auc_score), (average_precision, average_precision_score)):
        expected = [[judge(truth, row) for row in rows] for rows in ranks]
        np.testing.assert_allclose(found(truth, ranks), expected, rtol=1e-12)


@pytest.mark.parametrize("truth", [[True, True], [False, False], []])
def test_of_one_kind_there_is_no_area(truth: list[bool]) -> None:
    ranks = np.zeros((4, len(truth)))
    for area in (auroc, average_precision):
        assert np.isnan(area(np.array(truth, dtype=bool), ranks)).tolist() == [True] * 4


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
    found = precision_at(truth, np.stack([ranking, -ranking]).astype(np.float64), size)
    assert found[0] == pytest.approx(np.mean(precisions))
