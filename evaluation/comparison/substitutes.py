"""Do scores that need no truth rank methods as the truth does? And how far can each be relied on?

Without a known circuit methods are ranked by how much of what a model does their circuits do: CPR
and CMD (Mueller et al., 2025). Here both can be held against AUROC and average precision of the
same results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import kendalltau

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.comparison.intervals import CONFIDENCE, MIN_CASES, mean_bounds
from knowncircuits.evaluation.comparison.scored import score_results
from knowncircuits.evaluation.comparison.statistics import case_means, paired_tests, shared_cases
from knowncircuits.evaluation.faithfulness.runs import KEYS, faithfulness_table
from knowncircuits.evaluation.runs.results import Result
from knowncircuits.evaluation.scoring.set_scores import OF_SETS
from knowncircuits.work.executor import HERE, Executor

TRUTHS = ("auroc", "average_precision")
WITHOUT_TRUTH = ("cpr", "cmd")
LOWER_IS_BETTER = {"cmd"}
DIGITS = 12  # values that differ by less differ by rounding alone
FEWEST = 3  # methods, of which orders can agree or not


@dataclass(frozen=True, eq=False)
class Substitutes:
    """How scores rank methods beside each other, and how well each tells them apart."""

    # A row for each score and truth: tau, the mean over cases of Kendall's tau-b between their
    # orders of methods, with low and high; n_cases, those in which both tell some methods apart;
    # overall, tau-b of the methods' means over cases.
    agreement: pd.DataFrame
    # A row for each score: noise, the standard deviation over draws of pairs of one method on one
    # model; repeat, tau-b of the methods' means over every other draw; NaN where there is one draw.
    # told, the share of pairs of methods that a paired test over cases tells apart.
    reliability: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Both, by name."""
        return {"agreement": self.agreement, "reliability": self.reliability}


@takes(results=[Result])
def substitutes(
    results: Sequence[Result],
    *,
    resolution: float = RESOLUTION,
    executor: Executor = HERE,
    device: str = "cpu",
) -> Substitutes:
    """Measure CPR and CMD of results, and compare all scores' orders of methods.

    Args:
        results: of runs of several methods. Each is measured on the pairs that it is from, at the
            conventions that are `faithfulness`'s defaults. Cases on which it is not defined, such
            as an even XOR, count for the other scores alone.
        resolution: scores that this share of the largest does not tell apart are ties; see `score`.
        executor: who measures, task by task; by default this process.
        device: where models run.

    Raises:
        ResultError: for fewer than FEWEST methods, or no case that all have.
        KnownCircuitsError: see `faithfulness_table`.
    """
    if (n := len({result.label for result in results})) < FEWEST:
        raise ResultError(f"expected at least {FEWEST} methods, whose orders can differ, got {n}")
    scored = score_results(results, ["edge"], resolution=resolution)
    measured = faithfulness_table(
        results, executor=executor, device=device, resolution=resolution, leave_out=True
    )
    areas = measured.drop_duplicates(list(KEYS))[[*KEYS, *WITHOUT_TRUTH]]
    return rank_agreement(scored.merge(areas, "left", list(KEYS), validate="one_to_one"))


def rank_agreement(table: pd.DataFrame) -> Substitutes:
    """The same of a table with a row for each method, case, variant and seed, and the scores."""
    scores = [name for name in (*WITHOUT_TRUTH, *OF_SETS, *TRUTHS) if name in table]
    for name in LOWER_IS_BETTER & set(scores):
        table = table.assign(**{name: -table[name]})
    means = {name: shared_cases(case_means(table, name)) for name in scores}
    if means["auroc"].empty:
        raise ResultError("expected a case that all methods have, got none")
    pairs = [(name, truth) for name, truth in product(scores, TRUTHS) if name != truth]
    return Substitutes(
        pd.DataFrame([_agreement(name, truth, means) for name, truth in pairs]),
        pd.DataFrame([_reliability(name, table, means[name]) for name in scores]),
    )


def _agreement(name: str, truth: str, means: dict[str, pd.DataFrame]) -> dict[str, object]:
    both = means[name].index.intersection(means[truth].index)
    ours, theirs = (means[each].loc[both] for each in (name, truth))
    taus = [_tau(a, b) for a, b in zip(ours.to_numpy(float), theirs.to_numpy(float), strict=True)]
    found = np.array([tau for tau in taus if not np.isnan(tau)])
    low = high = float("nan")
    if len(found) >= MIN_CASES:  # bounds are of means of values from 0 to 1
        low, high = (float(2 * end[0] - 1) for end in mean_bounds((found[:, None] + 1) / 2))
    return {
        "score": name,
        "truth": truth,
        "tau": float(found.mean()) if len(found) else float("nan"),
        "low": low,
        "high": high,
        "n_cases": len(found),
        "overall": _tau(ours.mean().to_numpy(), theirs.mean().to_numpy()) if len(both) else np.nan,
    }


def _reliability(name: str, table: pd.DataFrame, means: pd.DataFrame) -> dict[str, object]:
    draws = table.groupby(["method", "case", "variant"])[name]
    place = table.groupby(["method", "case", "variant"])["seed"].rank().to_numpy() % 2
    halves = [case_means(table[place == half], name).mean() for half in (0, 1)]
    several = bool((draws.count() > 1).all())
    tests = paired_tests(means) if len(means) else None
    return {
        "score": name,
        "noise": float(draws.std().mean()) if several else np.nan,
        "repeat": _tau(*(half.to_numpy() for half in halves)) if several else np.nan,
        "told": np.nan if tests is None else float((tests["p_holm"] < 1 - CONFIDENCE).mean()),
        "n_cases": len(means),
    }


def _tau(first: Float[np.ndarray, " method"], second: Float[np.ndarray, " method"]) -> float:
    """Kendall's tau-b (1945); NaN where one of the two tells no methods apart."""
    first, second = first.round(DIGITS), second.round(DIGITS)
    if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return float("nan")
    return float(kendalltau(first, second).statistic)
