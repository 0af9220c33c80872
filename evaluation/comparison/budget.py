"""What methods find for what they cost: scores against passes, for several numbers of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.comparison.scored import score_results
from knowncircuits.evaluation.comparison.summary import summarise
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.evaluation.runs.results import Result, check_one_code

AT = "@"  # between a method and a number of pairs; no label has it
SAME = 1e-12  # scores that differ by less are equal: they differ by rounding alone
KEPT = (
    "average_precision",
    "average_precision_low",
    "average_precision_high",
    "auroc",
    "seconds",
)


@dataclass(frozen=True, eq=False)
class Budget:
    """Methods on several numbers of pairs, over the cases that all of them have on each."""

    # A row for each suite, method and number of pairs: suite, cases (their number), method,
    # n_pairs; average_precision, its interval over cases, and auroc; seconds and passes of a model,
    # NaN where the method does not say; front: whether nothing else is as good and costs less.
    points: pd.DataFrame


@takes(results=[Result])
def budget_results(results: Sequence[Result], *, resolution: float = RESOLUTION) -> Budget:
    """Score results anew, by method and number of pairs.

    Passes are of one example each, forward and backward ones alike, a model's all together.

    Args:
        results: of runs.
        resolution: scores that this share of the largest does not tell apart are ties; see `score`.

    Raises ResultError where there is no case that all have, a method has two results for one model,
    draw and number of pairs, or results of a method are of several codes.
    """
    check_one_code(results)
    table = score_results(results, resolution=resolution)
    keys = table["method"] + AT + table["n_pairs"].astype(str)
    parts = []
    for summary in summarise(table.assign(method=keys)):
        rows = summary.table
        names, counts = zip(*(key.split(AT) for key in rows["method"]), strict=True)
        part = rows[list(KEPT)].assign(
            suite=summary.suite, cases=summary.n_cases, method=names, n_pairs=list(map(int, counts))
        )
        per_pair = rows["forward_passes"] + rows["backward_passes"]
        part = part.assign(passes=per_pair * part["n_pairs"])
        judged = ~part["method"].isin(list(CONTROLS)).to_numpy()
        on_front = np.zeros(len(part), dtype=bool)
        on_front[judged] = front(*part.loc[judged, ["passes", "average_precision"]].to_numpy().T)
        order = part["method"].map({name: i for i, name in enumerate(dict.fromkeys(names))})
        parts.append(part.assign(front=on_front, order=order).sort_values(["order", "n_pairs"]))
    if not parts:
        raise ResultError(
            "expected a case that all methods have on every number of pairs, got none"
        )
    columns = ["suite", "cases", "method", "n_pairs", *KEPT, "passes", "front"]
    return Budget(pd.concat(parts, ignore_index=True)[columns])


def front(
    costs: Float[np.ndarray, " point"], scores: Float[np.ndarray, " point"]
) -> Bool[np.ndarray, " point"]:
    """The Pareto front: points than which none is better at no more cost, or as good at less.

    Points whose cost is not known (NaN) are neither on it nor in the way of others.
    """
    no_dearer = costs[:, None] <= costs
    no_worse = scores[:, None] >= scores - SAME
    better = (costs[:, None] < costs) | (scores[:, None] > scores + SAME)
    found: Bool[np.ndarray, " point"] = ~(no_dearer & no_worse & better).any(0) & ~np.isnan(costs)
    return found
