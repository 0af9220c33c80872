"""Intervals against exact ones, and their coverage by simulation beside the bootstrap's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison.intervals import (
    MIN_CASES,
    interval_over_cases,
    interval_over_pairs,
    mean_bounds,
)


def tail_of_weighted_mean(values: np.ndarray, at: float) -> float:
    """How likely the mean of values under weights uniform on the simplex is at most `at`.

    Weights are exponentials over their sum, so this asks whether those above, each times how far it
    is above, come to less than those below. They have no memory: take the last of each, and what
    is left of the longer one is as new. The chance that the sum of the first i is the less one of
    that of the first j so follows from those of i - 1 and of j - 1.
    """
    above, below = values[values > at] - at, at - values[values <= at]
    chance = np.zeros((len(above) + 1, len(below) + 1))
    chance[0] = 1
    for i, a in enumerate(above, 1):
        for j, b in enumerate(below, 1):
            chance[i, j] = (a * chance[i, j - 1] + b * chance[i - 1, j]) / (a + b)
    return float(chance[-1, -1])


@pytest.mark.parametrize("ones", [0, 3, 19, 20])
def test_bounds_of_zeros_and_ones_are_clopper_and_pearsons(ones: int) -> None:
    low, high = mean_bounds(np.array([[1.0] * ones + [0.0] * (20 - ones)]).T)
    exact_low = beta.ppf(0.025, ones, 21 - ones) if ones else 0.0
    exact_high = beta.ppf(0.975, ones + 1, 20 - ones) if ones < 20 else 1.0
    assert (low[0], high[0]) == pytest.approx((exact_low, exact_high), abs=0.01)


@pytest.mark.parametrize("n", [10, 50])
def test_bounds_are_gaffkes(n: int) -> None:
    values = np.random.default_rng(n).beta(4, 1, size=(n, 3))
    for sample, low, high in zip(values.T, *mean_bounds(values), strict=True):
        assert low < sample.mean() < high
        assert tail_of_weighted_mean(np.append(sample, 0), low) == pytest.approx(0.025, abs=0.006)
        assert tail_of_weighted_mean(np.append(sample, 1), high) == pytest.approx(0.975, abs=0.006)


def test_bounds_depend_on_values_alone() -> None:
    values = np.random.default_rng(0).uniform(size=(30, 600))
    low, high = mean_bounds(values)
    for columns in (values[::-1], values[:, :1], np.roll(values, 7, axis=0)):
        again = mean_bounds(columns)
        np.testing.assert_allclose(again[0][:1], low[:1], rtol=0, atol=1e-11)
        np.testing.assert_allclose(again[1][:1], high[:1], rtol=0, atol=1e-11)
    for outside in (1.5, -0.1, np.nan):
        with pytest.raises(ResultError, match="expected values from 0 to 1"):
            mean_bounds(np.array([[0.5], [outside]]))


@pytest.mark.parametrize("n", [MIN_CASES, 20, 50])
def test_intervals_cover_where_most_cases_are_at_1(n: int) -> None:
    """96% at 1, others anywhere: ours hold the mean as often as they say, a bootstrap does not."""
    random = np.random.default_rng(n)
    samples = np.where(random.random((n, 1000)) < 0.96, 1.0, random.random((n, 1000)))
    low, high = mean_bounds(samples)
    assert ((low <= 0.98) & (high >= 0.98)).mean() > 0.93
    draws = random.multinomial(n, np.full(n, 1 / n), size=1000) / n @ samples
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    assert ((low <= 0.98) & (high >= 0.98)).mean() < {10: 0.4, 20: 0.6, 50: 0.8}[n]


def test_there_are_none_of_few_cases() -> None:
    means = pd.DataFrame({"a": [1.0] * MIN_CASES, "b": np.linspace(0, 1, MIN_CASES)})
    assert interval_over_cases(means.iloc[1:]) == {"a": None, "b": None}
    found = interval_over_cases(means)["a"]
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(0.025**0.1, abs=0.01), 1)


def draws_table(values: np.ndarray, variants: int = 1) -> pd.DataFrame:
    """Of methods a0, a1, ...: [method, model, draw]; each case has so many variants."""
    rows = [
        (f"a{method}", f"case{model // variants}", f"seed{model % variants}", draw, value)
        for (method, model, draw), value in np.ndenumerate(values)
    ]
    return pd.DataFrame(rows, columns=["method", "case", "variant", "seed", "auroc"])


@pytest.mark.parametrize("share", [0.96, 0.0])
def test_intervals_over_pairs_cover_with_few_draws(share: float) -> None:
    """Two draws of each of 50 models: a share of draws at 1, the others uniform below."""
    random = np.random.default_rng(5)
    shape = (300, 50, 2)
    values = np.where(random.random(shape) < share, 1.0, random.uniform(0.6, 1, shape))
    mean = share + (1 - share) * 0.8
    found = interval_over_pairs(draws_table(values)).values()
    assert np.mean([i is not None and i.low <= mean <= i.high for i in found]) > 0.93
    # What they were: each model's draws drawn anew, which has half of their variance.
    held = 0
    for of_method in values:
        picked = random.integers(2, size=(200, *shape[1:]))
        drawn = np.take_along_axis(of_method[None], picked, axis=2).mean(axis=(1, 2))
        low, high = np.quantile(drawn, [0.025, 0.975])
        held += low <= mean <= high
    assert held / shape[0] < 0.88


def test_a_model_weighs_as_much_as_in_the_mean_over_cases() -> None:
    values = np.full((40, 3), 0.5)
    values[0] = [0.4, 0.5, 0.6]  # of a case of two models, of which there are 20
    found = interval_over_pairs(draws_table(values[None], variants=2))["a0"]
    assert found is not None
    width = 4.3027 * np.sqrt(2 * (1 / 40) ** 2 * 0.01 / 3)  # t of 2, as all is of the one model
    twice = 2.7764 * np.sqrt(2 * (1 / 40) ** 2 * 0.01 / 3)  # t of 4, as it counts twice
    assert width > found.high - 0.5 == pytest.approx(twice, rel=1e-3)
    assert found.low == pytest.approx(1 - found.high)


def test_there_is_none_over_few_pairs() -> None:
    values = np.random.default_rng(0).uniform(size=(50, 5))
    assert interval_over_pairs(draws_table(values[None]))["a0"]
    for few in (values[:, :1], values[:19], values[:49, :2], values[:1]):
        assert interval_over_pairs(draws_table(few[None]))["a0"] is None
    once = draws_table(values[None]).iloc[4:]  # one draw of one model
    assert interval_over_pairs(once)["a0"] is None
