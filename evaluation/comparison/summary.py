"""The table of methods: macro means, intervals, ranks and costs, degenerate cases apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from knowncircuits.cases.registry import list_cases
from knowncircuits.evaluation.comparison.intervals import (
    Interval,
    interval_over_cases,
    interval_over_pairs,
)
from knowncircuits.evaluation.comparison.statistics import case_means, rank_ranges, shared_cases
from knowncircuits.evaluation.runs.results import COSTS, UNTRAINED, Result, is_own
from knowncircuits.evaluation.scoring.set_scores import OF_SETS
from knowncircuits.models.choices import ZooVersion

SUITES = ("structural", "degenerate", "hard", "components", "modalities", "generated")
OWN = "own"  # of users' own models, which are averaged with no shipped one, and of own cases
ORDER = ["method", "case", "variant", "seed"]


@dataclass(frozen=True, eq=False)
class Summary:
    """Methods over the cases of a suite that all of them were run on, or over users' own models."""

    suite: str  # of SUITES or OWN, with one of UNTRAINED before it for such models
    n_cases: int  # or own models
    left_out: tuple[str, ...]  # cases that some method lacks, or that have edges of one kind only
    table: pd.DataFrame  # a row for each method, the best first, equal ones by name
    means: pd.DataFrame  # AUROC [case, method]; an own model is `case/variant`
    zoo: ZooVersion | None = None  # of shipped models

    @property
    def title(self) -> str:
        """What the table is about, in a line."""
        left = f"; left out: {', '.join(self.left_out)}" if self.left_out else ""
        what = "own models" if self.suite == OWN else f"{self.suite} cases"
        what += f" of zoo {self.zoo}" if self.zoo else ""
        return f"mean of {self.n_cases} {what} (AUROC at random: 0.5){left}"

    def covers(self, result: Result) -> bool:
        """Whether a result is one of those that are summarised."""
        if (result.variant if result.variant in UNTRAINED else "") != self.suite.rpartition(" ")[0]:
            return False
        case = f"{result.case}/{result.variant}" if result.own else result.case
        return case in self.means.index


def summarise(table: pd.DataFrame) -> list[Summary]:
    """The structural cases of a table, those of each other suite, and own ones, where any.

    Compiled and hosted models are suites of their own: no case is a mean over models of two kinds.
    A user's own case is one of no suite; it need not be known here.

    Args:
        table: of `score_results`, with all views.
    """
    own = table["variant"].map(is_own).astype(bool)
    trained = ~own & ~table["variant"].isin(UNTRAINED)
    kinds = {"": table[trained]}
    kinds |= {f"{kind} ": table[table["variant"] == kind] for kind in UNTRAINED}
    groups = {
        kind + suite: models[models["case"].isin(list_cases(suite))]
        for kind, models in kinds.items()
        for suite in SUITES
    }
    suites = {name for suite in SUITES for name in list_cases(suite)}
    for kind in UNTRAINED:
        models = kinds[f"{kind} "]
        groups[f"{kind} {OWN}"] = models[~models["case"].isin(suites)]
    groups[OWN] = table[own].assign(case=table["case"] + "/" + table["variant"])
    found = (summarise_suite(group, suite) for suite, group in groups.items())
    return [summary for summary in found if summary is not None]


def summarise_suite(table: pd.DataFrame, suite: str) -> Summary | None:
    """The methods over the rows of one suite; None where no case has a score of every method.

    The table has method; auroc and average_precision with `_low` and `_high` over cases and
    `_pairs_low` and `_pairs_high` over draws of pairs; the AUROC of the views no-embed,
    circuit-nodes, head and node, and the average precision of circuit-nodes, `circuit-nodes_ap`;
    precision_at_size, f1; economy and best_match where the table has them; rank_low and rank_high
    by AUROC; seconds and peak_memory of a run, forward_passes and backward_passes for each pair of
    inputs; zoo, of shipped models. NaN where a method says nothing, and for intervals and ranks of
    too few cases or draws.
    """
    # In an order of its own, so that what is computed does not depend on that of the results.
    table = table.sort_values(ORDER)
    for passes in ("forward_passes", "backward_passes"):
        table[passes] = table[passes].astype(float) / table["n_pairs"]
    edges = table[table["view"] == "edge"]
    if edges.empty:
        return None
    means = case_means(edges)
    shared = shared_cases(means)
    if shared.empty:
        return None
    edges = edges[edges["case"].isin(shared.index)]
    rows = pd.DataFrame(index=shared.columns)
    for value in ("auroc", "average_precision"):
        rows = rows.join(_with_intervals(edges, value))
    for view in ("no-embed", "circuit-nodes", "head", "node"):
        of_view = table[(table["view"] == view) & table["case"].isin(shared.index)]
        rows[view] = case_means(of_view).mean()
        if view == "circuit-nodes":
            rows[f"{view}_ap"] = case_means(of_view, "average_precision").mean()
    of_sets = [name for name in OF_SETS if name in edges]
    for value in ("precision_at_size", *of_sets, "f1", *COSTS):
        rows[value] = case_means(edges.assign(**{value: edges[value].astype(float)}), value).mean()
    ranks = rank_ranges(shared)
    for i, end in enumerate(("low", "high")):
        rows[f"rank_{end}"] = [np.nan if (r := ranks[m]) is None else r[i] for m in rows.index]
    ordered = rows.sort_values("auroc", ascending=False, kind="stable")
    left_out = tuple(sorted(set(means.index) - set(shared.index)))
    zoo: ZooVersion | None = next(map(int, edges["zoo"].dropna()), None)  # type: ignore[arg-type]
    ordered = ordered.rename_axis("method").reset_index().assign(zoo=zoo or np.nan)
    return Summary(suite, len(shared), left_out, ordered, shared, zoo)


def _with_intervals(edges: pd.DataFrame, value: str) -> pd.DataFrame:
    means = case_means(edges, value)
    cases, pairs = interval_over_cases(means), interval_over_pairs(edges, value)
    rows = {}
    for method in means.columns:
        rows[method] = {
            value: means[method].mean(),
            **_ends(value, cases[method]),
            **_ends(f"{value}_pairs", pairs[method]),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _ends(name: str, interval: Interval | None) -> dict[str, float]:
    """An interval's ends, by name; NaN where there is too little for one."""
    low, high = (np.nan, np.nan) if interval is None else (interval.low, interval.high)
    return {f"{name}_low": low, f"{name}_high": high}


def suites_frame(summaries: Sequence[Summary]) -> pd.DataFrame:
    """The tables of all suites as one, with the suite of each row."""
    parts = [s.table.assign(suite=s.suite, cases=s.n_cases) for s in summaries]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
