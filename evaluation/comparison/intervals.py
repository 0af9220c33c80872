"""How far a mean may lie from what more cases, or more pairs of inputs, would give.

Most methods reach 1 on most cases. A resampling of such values hardly ever holds the few low ones,
so that bootstrap and t intervals are too short, and without width where all values are 1. Values
between 0 and 1 have intervals that hold however they are spread, and these are used over cases.
`knowncircuits.evaluation.bench.interval_coverage` compares both by simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import t

from knowncircuits.errors import ResultError

CONFIDENCE = 0.95
# Below this an interval goes down to 0.69 even where every case is at 1, and says nothing.
MIN_CASES = 10
# Below these an interval over pairs is too short where few draws differ from the others.
MIN_MODELS, MIN_DRAWS = 20, 100
WEIGHTINGS = 10_000
COLUMNS = 256  # that are bounded at a time: 20 MB


@dataclass(frozen=True)
class Interval:
    """From where to where a mean lies, with CONFIDENCE."""

    low: float
    high: float


def interval_over_cases(means: pd.DataFrame) -> dict[str, Interval | None]:
    """For each method, how far its mean may lie from that over all cases of this kind.

    None of fewer than MIN_CASES cases.

    Args:
        means: of `case_means`, without NaN.

    Raises ResultError for values outside of 0 to 1.
    """
    if len(means) < MIN_CASES:
        return dict.fromkeys(means.columns)
    low, high = mean_bounds(means.to_numpy(dtype=np.float64))
    return {m: Interval(float(low[i]), float(high[i])) for i, m in enumerate(means.columns)}


def mean_bounds(
    values: Float[np.ndarray, "case method"], seed: int = 0
) -> tuple[Float[np.ndarray, " method"], Float[np.ndarray, " method"]]:
    """Bounds, with CONFIDENCE, on the means of distributions on 0 to 1, from a sample of each.

    Gaffke's (2005, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a
    nonnegative variable"): the lower bound is a quantile of the mean under random weights, uniform
    on the simplex, of the values and one more at 0; the upper bound has one more at 1. For values
    that are 0 or 1 these are Clopper and Pearson's. No distribution is known for which they cover
    less than they say (Learned-Miller and Thomas, 2019).

    Args:
        values: a sample in each column.
        seed: of the WEIGHTINGS weights, the same for every column.

    Raises ResultError for values outside of 0 to 1.
    """
    if not ((values >= 0) & (values <= 1)).all():
        raise ResultError(f"expected values from 0 to 1, got {values.min()} to {values.max()}")
    weights = np.random.default_rng(seed).exponential(size=(WEIGHTINGS, len(values) + 1))
    weights /= weights.sum(1, keepdims=True)
    tail = round((1 - CONFIDENCE) / 2 * WEIGHTINGS)
    ordered = np.sort(values, axis=0)  # so that the order of cases changes nothing
    bounds = np.empty((2, values.shape[1]))
    for start in range(0, values.shape[1], COLUMNS):
        columns = slice(start, start + COLUMNS)
        means = ordered[:, columns].T @ weights[:, :-1].T
        bounds[0, columns] = np.partition(means, tail - 1, axis=1)[:, tail - 1]
        means += weights[:, -1]
        bounds[1, columns] = np.partition(means, -tail, axis=1)[:, -tail]
    low, high = bounds.round(12).clip(0, 1)
    return low, high


def interval_over_pairs(table: pd.DataFrame, value: str = "auroc") -> dict[str, Interval | None]:
    """For each method, how far its mean may lie from that over all pairs of these models.

    Student's t on the variance between draws within models, which stay, with Satterthwaite's
    degrees of freedom (1946). The model that varies most counts twice, for one that happened not
    to. None of fewer than MIN_MODELS models or MIN_DRAWS draws in all, or with one of a model.

    Args:
        table: see `case_means`.
        value: of its columns, between 0 and 1.
    """
    found: dict[str, Interval | None] = {}
    groups = table.groupby(["method", "case", "variant"])[value].agg(["mean", "var", "count"])
    for method in table["method"].unique():
        models = groups.loc[method]
        n = models["count"].to_numpy()
        enough = len(n) >= MIN_MODELS and n.sum() >= MIN_DRAWS and n.min() > 1
        found[str(method)] = _t_interval(models) if enough else None
    return found


def _t_interval(models: pd.DataFrame) -> Interval:
    """The interval of the mean over cases, from mean, variance and count of each model's draws."""
    weights, n = _case_weights(models.index), models["count"].to_numpy()
    parts = weights**2 * models["var"].to_numpy() / n
    most = parts.argmax()
    parts, n = np.append(parts, parts[most]), np.append(n, n[most])
    mean, variance = float(weights @ models["mean"]), parts.sum()
    if variance == 0:
        return Interval(mean, mean)
    freedom = variance**2 / (parts**2 / (n - 1)).sum()
    width = float(t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(variance))
    return Interval(max(0.0, mean - width), min(1.0, mean + width))


def _case_weights(models: pd.Index) -> Float[np.ndarray, " model"]:
    """What share each model has in the mean over cases."""
    cases = models.get_level_values("case")
    n_models = cases.value_counts()
    weights: np.ndarray = 1 / n_models[cases].to_numpy() / len(n_models)
    return weights
