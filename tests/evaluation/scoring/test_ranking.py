"""Areas against scikit-learn, of many rankings with ties at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.methods.acdc import THRESHOLDS
from knowncircuits.evaluation.scoring.ranking import (
    at_resolution,
    auroc,
    average_precision,
    precision_at,
)

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 8)), elements=finite))
def test_scores_on_a_grid_keep_their_order_and_tie_within_a_step(values: np.ndarray) -> None:
    steps = at_resolution(values)
    assert np.array_equal(steps, np.rint(steps))
    assert np.array_equal(at_resolution(-values), -steps)
    assert np.array_equal(np.abs(steps), at_resolution(np.abs(values)))
    for row, found in zip(values, steps, strict=True):
        order = np.argsort(row, kind="stable")
        assert (np.diff(found[order]) >= 0).all()
        shares = row / np.abs(row).max() if row.any() else row
        np.testing.assert_allclose(found * RESOLUTION, shares, atol=RESOLUTION * 0.51)
        assert np.abs(found).max() == (round(1 / RESOLUTION) if row.any() else 0)


def test_rounding_ties_with_zero_and_nothing_else_does() -> None:
    values = np.array([0.176, 1e-8, -1e-8, 0.0, 3e-7, 0.1759])
    assert at_resolution(values).tolist() == [1e6, 0, 0, 0, 2, 999432]
    assert at_resolution(np.array([0.176, -1e-8, 1e-8]), 0).tolist() == [0.176, -1e-8, 1e-8]


def test_a_smooth_vector_is_no_one_tie() -> None:
    """Each score is within the resolution of the next; linked in a chain all would tie."""
    values = np.linspace(0, 1, 2_000_001)
    assert len(np.unique(at_resolution(values))) == 1_000_001


def test_the_thresholds_of_acdc_stay_apart() -> None:
    """The lowest is a millionth of the highest, and what is never kept has 0."""
    scores = np.array([0.0, *THRESHOLDS])
    assert min(THRESHOLDS) == pytest.approx(RESOLUTION * max(THRESHOLDS))
    assert len(np.unique(at_resolution(scores))) == len(np.unique(scores))


@pytest.mark.parametrize("resolution", [-1e-9, 1.0, float("nan")])
def test_resolutions_that_there_are_not(resolution: float) -> None:
    with pytest.raises(InputError, match="expected a resolution from 0 to below 1, got"):
        at_resolution(np.ones(3), resolution)


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
