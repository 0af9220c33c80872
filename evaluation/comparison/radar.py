"""Methods over the experiments of the hard suite: by level, by experiment, and by tag.

What counts is average precision above chance, (AP - prevalence) / (1 - prevalence), at least 0. An
experiment's score is the mean over its levels and kinds of pairs, that of a tag the mean over the
experiments that have it (as bsuite does it: Osband et al., 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from knowncircuits.cases.experiments.registry import EXPERIMENTS, hard_cases
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.comparison.scored import score_results
from knowncircuits.evaluation.runs.results import UNTRAINED, Result, check_one_code

LEVEL = ["experiment", "pairs", "level"]


@dataclass(frozen=True, eq=False)
class Radar:
    """What methods reach on the levels that all of them were run on."""

    # A row for each method and level: experiment, pairs, level, method; the score, the least and
    # the most of a draw of pairs; average_precision; economy, NaN where none is defined.
    levels: pd.DataFrame
    left_out: tuple[str, ...]  # levels that some method lacks, with their pairs

    @cached_property
    def experiments(self) -> pd.DataFrame:
        """Scores [method, experiment], the best method on the mean first."""
        table = self.levels.groupby(["method", "experiment"])["score"].mean().unstack()
        table = table[[name for name in EXPERIMENTS if name in table]]
        order = table.mean(axis=1).sort_values(ascending=False, kind="stable").index
        return table.loc[order]

    @property
    def tags(self) -> pd.DataFrame:
        """Scores [method, tag], the best method first."""
        experiments = self.experiments
        names_of: dict[str, list[str]] = {}
        for name in map(str, experiments):
            for tag in EXPERIMENTS[name].tags:
                names_of.setdefault(tag, []).append(name)
        return pd.DataFrame(
            {tag: experiments[names].mean(axis=1) for tag, names in names_of.items()}
        )

    @property
    def means(self) -> pd.Series:
        """The mean over experiments of each method, the best first."""
        return self.experiments.mean(axis=1)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Levels, experiments and tags as a table each."""
        return {
            "levels": self.levels,
            "experiments": self.experiments.reset_index(),
            "tags": self.tags.assign(mean=self.means).reset_index(),
        }


@takes(results=[Result])
def radar(results: Sequence[Result], *, resolution: float = RESOLUTION) -> Radar:
    """Score results on the hard suite anew.

    Args:
        results: of runs; those on cases of other suites do not count.
        resolution: scores that this share of the largest does not tell apart are ties; see `score`.

    Raises ResultError where there is no level that all methods have, results are on models of
    several kinds (compiled, hosted, trained), or those of a method are of several codes.
    """
    cases = hard_cases()
    hard = [result for result in results if result.case in cases]
    check_one_code(hard)
    if not hard:
        raise ResultError("expected results on cases of the hard suite, got none")
    kinds = {r.variant if r.variant in UNTRAINED else "trained" for r in hard}
    if len(kinds) > 1:
        raise ResultError(
            f"expected results on models of one kind, got {' and '.join(sorted(kinds))}"
        )
    table = score_results(hard, ["edge"], resolution=resolution)
    experiments = [EXPERIMENTS[cases[result.case].family] for result in hard]
    table = table.assign(
        experiment=[experiment.name for experiment in experiments],
        level=[r.case.removeprefix(f"{e.name}_") for e, r in zip(experiments, hard, strict=True)],
        pairs=[result.settings["corruption"] for result in hard],
        score=_above_chance(table),
    )
    if "economy" not in table:
        table["economy"] = float("nan")
    shared, left_out = _shared(table)
    if shared.empty:
        methods = ", ".join(table["method"].unique())
        raise ResultError(f"expected a level that all methods have ({methods}), got none")
    rows = []
    for key, group in shared.groupby([*LEVEL, "method"], sort=False):
        draws = group.groupby("seed")["score"].mean()  # over models first
        rows.append(
            {
                **dict(zip([*LEVEL, "method"], key, strict=True)),
                "score": draws.mean(),
                "least": draws.min(),
                "most": draws.max(),
                "average_precision": group["average_precision"].mean(),
                "economy": group["economy"].astype(float).mean(),
            }
        )
    return Radar(pd.DataFrame(rows), left_out)


def _above_chance(table: pd.DataFrame) -> pd.Series:
    """Average precision, such that random scores have 0 or little more and the truth 1."""
    chance = table["prevalence"]
    return ((table["average_precision"] - chance) / (1 - chance)).clip(lower=0)


def _shared(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows of levels and pairs that every method has, and the names of the other ones."""
    n_methods = table["method"].nunique()
    have = table.groupby(["case", "pairs"])["method"].transform("nunique") == n_methods
    others = table.loc[~have, ["case", "pairs"]].drop_duplicates().sort_values(["case", "pairs"])
    return table[have], tuple(f"{case} ({pairs})" for case, pairs in others.to_numpy().tolist())
