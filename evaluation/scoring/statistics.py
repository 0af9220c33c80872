"""Means over cases, how sure they are, and whether one method beats another.

Everything starts from a tidy table with the columns method, case, variant, seed and a value; see
`tables.score_results`. A case is the unit: draws of pairs are averaged in a model, and models in a
case, so that a case with three models counts no more than one with one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import rankdata, wilcoxon

from knowncircuits.errors import ResultError

DRAWS = 10_000  # of a bootstrap
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """The middle share CONFIDENCE of a bootstrap's draws."""

    low: float
    high: float


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
    return models.groupby(["method", "case"], sort=False).mean().unstack("method", sort=False)


def shared_cases(means: pd.DataFrame) -> pd.DataFrame:
    """The rows of `case_means` for which every method has a value: what can be compared."""
    return means.dropna()


def interval_over_cases(
    means: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Interval]:
    """For each method, how far its mean may lie from that over all cases of this kind.

    Bootstrap: as many cases are drawn with replacement, the same ones for every method (Efron,
    1979; percentiles).

    Args:
        means: of `case_means`, without NaN.
        draws: how many.
        seed: of the draws.
    """
    resampled = _draw_shares(len(means), draws, seed) @ means.to_numpy()
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return {m: Interval(float(low[i]), float(high[i])) for i, m in enumerate(means.columns)}


def interval_over_pairs(
    table: pd.DataFrame, value: str = "auroc", *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Interval | None]:
    """For each method, how far its mean may lie from that over all pairs of these models.

    Bootstrap over the draws of pairs of each model, independently; the models stay. None where a
    model has one draw only.

    Args:
        table: see `case_means`.
        value: of its columns.
        draws: how many.
        seed: of the draws.
    """
    found: dict[str, Interval | None] = {}
    for method, rows in table.groupby("method", sort=False):
        models = rows.groupby(["case", "variant"], sort=False)[value].apply(np.asarray)
        weights = _case_weights(models.index)
        total = np.zeros(draws)
        for i, (weight, values) in enumerate(zip(weights, models, strict=True)):
            total += weight * (_draw_shares(len(values), draws, seed + i) @ values)
        many = min(map(len, models)) > 1
        found[str(method)] = _interval(total) if many else None
    return found


def rank_ranges(
    means: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """For each method the ranks that it may have, 1 being the highest mean.

    Ranks of the bootstrap's means over cases, the same cases for every method in a draw, so that
    what is hard for all moves none. Methods of equal means share the better rank.

    Args:
        means: of `case_means`, without NaN.
        draws: how many.
        seed: of the draws.
    """
    resampled = _draw_shares(len(means), draws, seed) @ means.to_numpy()
    # Equal methods differ by rounding alone.
    ranks = rankdata(-resampled.round(12), method="min", axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(ranks, [tail, 1 - tail], axis=0, method="nearest")
    return {m: (int(low[i]), int(high[i])) for i, m in enumerate(means.columns)}


def paired_tests(means: pd.DataFrame) -> pd.DataFrame:
    """Every two methods compared case by case.

    Args:
        means: of `case_means`, without NaN.

    Returns:
        A row for each pair of methods: a, b; difference, the mean of a less that of b; wins, losses
        and ties of a; p, of the Wilcoxon signed-rank test, two-sided (1945; 1 where they are equal
        everywhere); p_holm, corrected for all pairs (Holm, 1979); a12, how often a case of a has
        the higher value than one of b, ties counting half (Vargha and Delaney, 2000).
    """
    values = means.to_numpy(dtype=np.float64)
    first, second = np.triu_indices(values.shape[1], k=1)
    difference = (values[:, first] - values[:, second]).round(12)
    p = np.ones(len(first))
    if (differ := difference.any(0)).any():  # all pairs at once: two hundred methods have 19,900
        p[differ] = wilcoxon(difference[:, differ], axis=0).pvalue
    a12s = [a12(values[:, a], values[:, b]) for a, b in zip(first, second, strict=True)]
    return pd.DataFrame(
        {
            "a": means.columns[first],
            "b": means.columns[second],
            "difference": difference.sum(0) / max(1, len(difference)),
            "wins": (difference > 0).sum(0),
            "losses": (difference < 0).sum(0),
            "ties": (difference == 0).sum(0),
            "p": p,
            "p_holm": holm(p),
            "a12": np.array(a12s, dtype=np.float64),
        }
    )


def a12(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """How often a value of the first is above one of the second, ties counting half."""
    above = first[:, None] - second
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """p-values corrected for their number: the i-th least times how many are not below it."""
    order = np.argsort(p, kind="stable")
    stepwise = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepwise, 1.0)
    return corrected


def _draw_shares(n: int, draws: int, seed: int) -> Float[np.ndarray, "draw n"]:
    """What share each of n things has of n that are drawn with replacement."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    shares: np.ndarray = counts / n
    return shares


def _case_weights(models: pd.Index) -> Float[np.ndarray, " model"]:
    """What share each model has in the mean over cases."""
    cases = models.get_level_values("case")
    n_models = cases.value_counts()
    weights: np.ndarray = 1 / n_models[cases].to_numpy() / len(n_models)
    return weights


def _interval(draws: Float[np.ndarray, " draw"]) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(low), float(high))
