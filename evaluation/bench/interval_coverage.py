"""How often intervals and ranks hold what is true, by simulation, beside others that are in use.

Samples are drawn from populations of which the mean is known. An interval should hold it 95 times
of 100; of those that do, the narrowest is best.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import DegenerateDataWarning, bootstrap, rankdata, t

from knowncircuits.evaluation.comparison.intervals import CONFIDENCE, mean_bounds
from knowncircuits.evaluation.comparison.statistics import rank_ranges

SIZES = (2, 5, 10, 20, 50, 129)
TAIL = (1 - CONFIDENCE) / 2
RESAMPLES, BATCH = 1_000, 50  # of a bootstrap, and how many of them are made at a time
GRID = np.linspace(0, 1, 201)  # means that are tried by betting

Samples = Float[np.ndarray, "case sample"]
Bounds = tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def resampling(samples: Samples, random: np.random.Generator, method: str) -> Bounds:
    """The bootstrap by percentiles (Efron, 1979), or corrected for bias and acceleration (1987).

    The latter is not defined for a sample without spread: its interval is the mean alone.
    """
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        bounds = bootstrap(
            (samples,),
            np.mean,
            n_resamples=RESAMPLES,
            batch=BATCH,
            confidence_level=CONFIDENCE,
            method=method,
            rng=random,
        ).confidence_interval
    low, high = (np.where(np.isnan(bound), samples.mean(0), bound) for bound in bounds)
    return low, high


def students_t(samples: Samples, random: np.random.Generator) -> Bounds:
    """Within 0 and 1."""
    n = len(samples)
    width = t.ppf(1 - TAIL, n - 1) * samples.std(0, ddof=1) / np.sqrt(n)
    return (samples.mean(0) - width).clip(0, 1), (samples.mean(0) + width).clip(0, 1)


def empirical_bernstein(samples: Samples, random: np.random.Generator) -> Bounds:
    """Maurer and Pontil's (2009)."""
    n, unlikely = len(samples), np.log(4 / (1 - CONFIDENCE))
    width = np.sqrt(2 * samples.var(0, ddof=1) * unlikely / n) + 7 * unlikely / (3 * (n - 1))
    return (samples.mean(0) - width).clip(0, 1), (samples.mean(0) + width).clip(0, 1)


def betting(samples: Samples, random: np.random.Generator) -> Bounds:
    """The hedged capital of Waudby-Smith and Ramdas (2024), bets by the variance so far."""
    n, size = samples.shape
    count = np.arange(1, n + 1)[:, None]
    centre = (0.5 + samples.cumsum(0)) / (count + 1)
    variance = (0.25 + ((samples - centre) ** 2).cumsum(0)) / (count + 1)
    variance = np.concatenate([np.full((1, size), 0.25), variance[:-1]])
    bets = np.sqrt(2 * np.log(2 / (1 - CONFIDENCE)) / (n * variance))
    low, high = np.ones(size), np.zeros(size)
    for mean in GRID:
        for_more = 1 + np.minimum(bets, 0.5 / max(mean, 1e-9)) * (samples - mean)
        for_less = 1 - np.minimum(bets, 0.5 / max(1 - mean, 1e-9)) * (samples - mean)
        capital = np.maximum(for_more.cumprod(0), for_less.cumprod(0)).max(0) / 2
        held = capital < 1 / (1 - CONFIDENCE)
        low, high = np.where(held, np.minimum(low, mean), low), np.where(held, mean, high)
    step = GRID[1]
    return (low - step).clip(0, 1), (high + step).clip(0, 1)


def gaffke(samples: Samples, random: np.random.Generator) -> Bounds:
    """Ours; see `mean_bounds`."""
    return mean_bounds(samples)


INTERVALS: Mapping[str, Callable[[Samples, np.random.Generator], Bounds]] = {
    "Gaffke": gaffke,
    "bootstrap": partial(resampling, method="percentile"),
    "BCa": partial(resampling, method="BCa"),
    "t": students_t,
    "Bernstein": empirical_bernstein,
    "betting": betting,
}

# Each with its mean.
POPULATIONS: Mapping[str, tuple[Draw, float]] = {
    "96% at 1, others anywhere": (
        lambda random, shape: np.where(random.random(shape) < 0.96, 1.0, random.random(shape)),
        0.98,
    ),
    "96% at 1, others at 0": (lambda random, shape: 1.0 * (random.random(shape) < 0.96), 0.96),
    "half at 1, half at 0.5": (
        lambda random, shape: np.where(random.random(shape) < 0.5, 1.0, 0.5),
        0.75,
    ),
    "beta(8, 2)": (lambda random, shape: random.beta(8, 2, shape), 0.8),
}


# Ten methods on so many cases, with the rank of each; equal ones share the better rank.
EQUAL, TWO_LEVELS = np.ones(10, dtype=int), np.repeat([1, 6], 5)
BOARDS: Mapping[str, tuple[Callable[[np.random.Generator, int], np.ndarray], np.ndarray]] = {
    "equal, beta(8, 2)": (lambda random, n: random.beta(8, 2, (n, 10)), EQUAL),
    "equal, 96% at 1": (
        lambda random, n: np.where(random.random((n, 10)) < 0.96, 1.0, random.random((n, 10))),
        EQUAL,
    ),
    "equal, cases of like difficulty": (
        lambda random, n: (random.beta(8, 2, (n, 1)) + random.normal(0, 0.05, (n, 10))).clip(0, 1),
        EQUAL,
    ),
    "five of mean 0.95, five of 0.8": (
        lambda random, n: random.beta([[19.0] * 5 + [8.0] * 5], [[1.0] * 5 + [2.0] * 5], (n, 10)),
        TWO_LEVELS,
    ),
    "equal mean, other shape": (
        lambda random, n: np.where(
            np.arange(10) < 5, 0.98, np.where(random.random((n, 10)) < 0.96, 1.0, 0.5)
        ),
        EQUAL,
    ),
}


def population_of(values: Float[np.ndarray, " case"]) -> tuple[Draw, float]:
    """Values of a method on cases, drawn with replacement."""
    return lambda random, shape: random.choice(values, shape), float(values.mean())


def bench_intervals(
    populations: Mapping[str, tuple[Draw, float]] | None = None,
    *,
    samples: int = 1_000,
    seed: int = 0,
    on_step: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """How many of 100 intervals hold the mean, and how wide they are.

    Args:
        populations: those of POPULATIONS by default.
        samples: of each population and size.
        seed: of them.
        on_step: told of each population and size.

    Returns:
        A row for each population and size with `covers` and `width` of each of INTERVALS.
    """
    rows = []
    for name, (draw, mean) in (populations or POPULATIONS).items():
        for n in SIZES:
            on_step(f"{name}, {n} cases")
            random = np.random.default_rng([seed, n])
            drawn = draw(random, (n, samples))
            row: dict[str, object] = {"population": name, "cases": n}
            for interval, bound in INTERVALS.items():
                low, high = bound(drawn, random)
                held = (low <= mean + 1e-9) & (mean <= high + 1e-9)
                row |= {f"{interval} covers": 100 * held.mean()}
                row |= {f"{interval} width": (high - low).mean()}
            rows.append(row)
    return pd.DataFrame(rows)


def bench_ranks(
    *, samples: int = 200, seed: int = 0, on_step: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """How many of 100 boards of ten methods give every one a range that holds its rank.

    Args:
        samples: boards of each kind and number of cases.
        seed: of them.
        on_step: told of each kind and number of cases.

    Returns:
        A row for each of BOARDS and number of cases: `ours`, and `bootstrap`, the middle 95% of the
        ranks of resampled means, as shares of 100 boards; `told apart`, how many of 100 pairs of
        methods of other means have ranges of ours that do not meet.
    """
    rows = []
    for name, (draw, ranks) in BOARDS.items():
        for n in SIZES[2:]:
            on_step(f"{name}, {n} cases")
            random = np.random.default_rng([seed, n])
            boards = [_board(draw(random, n), ranks, random) for _ in range(samples)]
            rows.append((name, n, *(100 * np.mean(boards, axis=0))))
    return pd.DataFrame(rows, columns=["ten methods", "cases", "ours", "bootstrap", "told apart"])


def _board(values: Samples, ranks: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Whether our ranges hold all ranks, whether a bootstrap's do, and the pairs told apart."""
    ranges = rank_ranges(pd.DataFrame(values, columns=[f"m{i}" for i in range(len(ranks))]))
    ours = np.array([found for found in ranges.values() if found])
    places = rankdata(-_resampled_means(values, random).round(12), method="min", axis=1)
    resampled = np.quantile(places, [TAIL, 1 - TAIL], axis=0, method="nearest").T
    held = [
        ((low_high.T[0] <= ranks) & (ranks <= low_high.T[1])).all()
        for low_high in (ours, resampled)
    ]
    better = ranks[:, None] < ranks
    apart = (ours[:, 1, None] < ours[:, 0])[better].mean() if better.any() else np.nan
    return np.array([*held, apart])


def _resampled_means(samples: Samples, random: np.random.Generator) -> np.ndarray:
    """Means of RESAMPLES resamples [resample, sample], the same cases in each column."""
    n = len(samples)
    means: np.ndarray = random.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n @ samples
    return means
