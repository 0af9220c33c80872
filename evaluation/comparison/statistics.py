"""Means over cases, and whether one method beats another.

Everything starts from a tidy table with the columns method, case, variant, seed and a value; see
`tables.score_results`. A case is the unit: draws of pairs are averaged in a model, and models in a
case, so that a case with three models counts no more than one with one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt
from scipy.stats import binom

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison.intervals import CONFIDENCE, MIN_CASES

RESOLUTION = 1e-12  # values that differ by less are tied: they differ by rounding alone
TILE = 512  # methods that are compared with as many others at a time


def case_means(table: pd.DataFrame, value: str = "auroc") -> pd.DataFrame:
    """The mean of each case [case, method]: over draws of pairs, then over the case's models.

    NaN where a method has nothing, or the value is not defined, for a case.

    Raises ResultError for a table that has a model twice.
    """
    key = ["method", "case", "variant", "seed"]
    if table.duplicated(key).any():
        twice = " ".join(map(str, table.loc[table.duplicated(key), key].iloc[0]))
        raise ResultError(f"expected one row for each method, model and seed, got two of {twice}")
    models = table.groupby(["method", "case", "variant"], sort=False)[value].mean()
    means = models.groupby(["method", "case"], sort=False).mean()
    # Not `unstack(sort=False)`, which gives methods each other's numbers before pandas 3.
    methods, cases = (means.index.get_level_values(name).unique() for name in ("method", "case"))
    return means.unstack("method").reindex(index=cases, columns=methods)


def shared_cases(means: pd.DataFrame) -> pd.DataFrame:
    """The rows of `case_means` for which every method has a value: what can be compared."""
    return means.dropna()


def rank_ranges(means: pd.DataFrame) -> dict[str, tuple[int, int] | None]:
    """For each method the ranks that it may have, 1 being the highest mean.

    It ranks below the methods that are better and above those that are worse, and may be anywhere
    between (Mogstad, Romano, Shaikh and Wilhelm, 2024, "Inference for ranks"). One method is better
    than another if it has the higher mean, and `paired_tests` tell them apart. So all ranges hold
    at once, with CONFIDENCE, where methods of equal rank win as many cases as they lose. None of
    fewer than MIN_CASES cases.

    Args:
        means: of `case_means`, without NaN.
    """
    n_cases, n = means.shape
    if n_cases < MIN_CASES:
        return dict.fromkeys(means.columns)
    places = _places(means.to_numpy(dtype=np.float64))
    mean = means.to_numpy(dtype=np.float64).mean(0).round(12)
    # Ten thousand methods are 50 million pairs, but only so many outcomes: pairs are counted by
    # theirs, which gives Holm's level, and then compared again.
    outcomes = np.zeros((n_cases + 1) ** 2, dtype=np.int64)
    for first, second, wins, losses in _tiles(places):
        pairs = second > first[:, None]
        of_pairs = wins[pairs].astype(np.int64) * (n_cases + 1) + losses[pairs]
        outcomes += np.bincount(of_pairs, minlength=len(outcomes))
    p = sign_test(n_cases)
    told = p <= _holm_level(p.ravel(), outcomes)
    n_better, n_worse = np.zeros(n, dtype=int), np.zeros(n, dtype=int)
    for first, second, wins, losses in _tiles(places):
        differ = told[wins, losses] & (second > first[:, None])
        higher = differ & (wins > losses) & (mean[first][:, None] > mean[second])
        lower = differ & (wins < losses) & (mean[first][:, None] < mean[second])
        n_better[second] += higher.sum(0)
        n_worse[first] += higher.sum(1)
        n_better[first] += lower.sum(1)
        n_worse[second] += lower.sum(0)
    return {
        name: (1 + int(n_better[i]), n - int(n_worse[i])) for i, name in enumerate(means.columns)
    }


def paired_tests(means: pd.DataFrame) -> pd.DataFrame:
    """Every two methods compared case by case.

    Args:
        means: of `case_means`, without NaN.

    Returns:
        A row for each pair of methods: a, b; difference, the mean of a less that of b; wins, losses
        and ties of a; p, of the sign test, two-sided and exact: that a wins as many cases as it
        loses (1 where there are only ties); p_holm, corrected for all pairs (Holm, 1979); a12, how
        often a case of a has the higher value than one of b, ties counting half (Vargha and
        Delaney, 2000).
    """
    values = means.to_numpy(dtype=np.float64)
    n_cases, n = values.shape
    first, second = np.triu_indices(n, k=1)
    wins, losses = np.zeros((2, len(first)), dtype=np.int32)
    above, difference = np.ones((2, len(first)))
    places, start = _places(values), 0
    for a in range(n - 1):  # a method against those behind it
        rows = slice(start, start := start + n - 1 - a)
        wins[rows] = (places[:, [a]] > places[:, a + 1 :]).sum(0)
        losses[rows] = (places[:, [a]] < places[:, a + 1 :]).sum(0)
        difference[rows] = (values[:, [a]] - values[:, a + 1 :]).mean(0)
        above[rows] = a12(values[:, a], values[:, a + 1 :])
    p = sign_test(n_cases)[wins, losses]
    return pd.DataFrame(
        {
            "a": means.columns[first],
            "b": means.columns[second],
            "difference": difference.round(12),
            "wins": wins,
            "losses": losses,
            "ties": n_cases - wins - losses,
            "p": p,
            "p_holm": holm(p),
            "a12": above,
        }
    )


def a12(
    first: Float[np.ndarray, " n"], others: Float[np.ndarray, "m method"]
) -> Float[np.ndarray, " method"]:
    """How often a value of the first is above one of each other, ties counting half.

    Mann and Whitney's U (1947), by the places of the others' values among the first's.
    """
    ordered = np.sort(first)
    not_above = np.searchsorted(ordered, others, "left") + np.searchsorted(ordered, others, "right")
    shares: np.ndarray = 1 - not_above.mean(0) / (2 * len(first))
    return shares


def sign_test(n: int) -> Float[np.ndarray, "wins losses"]:
    """The p of the two-sided sign test for each number of wins and losses, up to n in all."""
    wins, losses = np.indices((n + 1, n + 1))
    p = 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
    smaller: np.ndarray = np.minimum(p, 1.0)
    return smaller


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """p-values corrected for their number: the i-th least times how many are not below it."""
    order = np.argsort(p, kind="stable")
    stepwise = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepwise, 1.0)
    return corrected


def _holm_level(p: Float[np.ndarray, " outcome"], n_tests: Int[np.ndarray, " outcome"]) -> float:
    """The greatest p that Holm's procedure rejects, or -1, of tests counted by their outcome."""
    there = np.flatnonzero(n_tests)
    order = there[np.argsort(p[there], kind="stable")]
    counts = n_tests[order]
    left = counts[::-1].cumsum()[::-1]  # tests of no lesser p
    kept = p[order] * left > 1 - CONFIDENCE
    rejected = order[: kept.argmax()] if kept.any() else order
    return float(p[rejected[-1]]) if len(rejected) else -1.0


def _places(values: Float[np.ndarray, "case method"]) -> UInt[np.ndarray, "case method"]:
    """The place of each value among those of its case, from below; tied ones share theirs."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    risen = np.zeros(values.shape, dtype=np.min_scalar_type(values.shape[1]))
    risen[:, 1:] = np.diff(ordered, axis=1) > RESOLUTION
    places = np.empty_like(risen)
    np.put_along_axis(places, order, risen.cumsum(axis=1, dtype=risen.dtype), axis=1)
    return places


def _tiles(places: UInt[np.ndarray, "case method"]) -> Iterator[tuple[np.ndarray, ...]]:
    """Every two methods once, in tiles: numbers of some [a], of others [b], and wins and losses.

    Wins and losses are those of the first over the others [a, b]. Tiles on the diagonal have every
    two methods twice, and each with itself.
    """
    blocks = np.split(np.arange(places.shape[1]), range(TILE, places.shape[1], TILE))
    for i, first in enumerate(blocks):
        for second in blocks[i:]:
            wins, losses = np.zeros((2, len(first), len(second)), np.min_scalar_type(len(places)))
            for of_case in places:
                ours, theirs = of_case[first, None], of_case[second]
                wins += ours > theirs
                losses += ours < theirs
            yield first, second, wins, losses
