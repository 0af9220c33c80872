"""The board: who finds circuits best, how sure that is, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import UnknownNameError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.comparison.intervals import interval_over_cases
from knowncircuits.evaluation.comparison.statistics import case_means, paired_tests, rank_ranges
from knowncircuits.evaluation.scoring.views import VIEWS
from knowncircuits.leaderboard.scoring import VALUES, score_submissions
from knowncircuits.leaderboard.slices import HEADLINE, Slice, list_slices, load_slice
from knowncircuits.leaderboard.submission import Submission, models_of, zoo_name
from knowncircuits.leaderboard.truth import Certified
from knowncircuits.models.choices import DEFAULT_ZOO, BoardZoo
from knowncircuits.shown import Card, Shown, Table, counted

COLUMNS = (
    "method",
    "title",
    "kind",
    "rank_low",
    "rank_high",
    "auroc",
    "auroc_low",
    "auroc_high",
    "average_precision",
    "average_precision_low",
    "average_precision_high",
    "cases",
    "models",
    "of_models",
    "passes",
    "seconds",
    "division",
    "budget",
    "resolution",
    "zoo",
)


@dataclass(frozen=True, eq=False, repr=False)
class Board(Shown):
    """Submissions with their scores, computed anew."""

    submissions: tuple[Submission, ...]  # in order of their ids
    models: Mapping[str, Certified]
    results: pd.DataFrame  # of `score_submissions`
    resolution: float = RESOLUTION  # below which share of a vector's largest scores were ties

    @classmethod
    def of(
        cls,
        submissions: Sequence[Submission],
        models: Mapping[str, Certified] | None = None,
        *,
        resolution: float = RESOLUTION,
    ) -> Board:
        """Score submissions on the certified models, by default those of their zoo.

        Raises InputError for a resolution that is not from 0 to below 1, ResultError for
        submissions of several zoos.
        """
        models = models_of(submissions) if models is None else models
        ordered = tuple(sorted(submissions, key=lambda s: s.id))
        results = score_submissions(ordered, models, resolution=resolution)
        return cls(ordered, models, results, resolution)

    def _card(self) -> Card:
        submissions = counted(len(self.submissions), "submission")
        models = f"{counted(len(self.models), 'model')} of {zoo_name(self.zoo)}"
        return Card("", (submissions, models), self._tables)

    def _tables(self) -> list[Table]:
        columns = ("method", "auroc", "average_precision", "cases", "models")
        rows = self.standings()[list(columns)].itertuples(index=False, name=None)
        names = ("method", "AUROC", "average precision", "cases", "models")
        return [Table("Standings over the structural cases", names, list(rows))]

    @property
    def zoo(self) -> BoardZoo:
        """The release that its models are of, or `own`."""
        return next((model.zoo for model in self.models.values()), DEFAULT_ZOO)

    @cached_property
    def slices(self) -> list[Slice]:
        """What can be averaged over."""
        return list_slices(self.models)

    @cached_property
    def means(self) -> Mapping[tuple[str, str], pd.DataFrame]:
        """By view and value, the mean of each case [case, method], over seeds, then models."""
        order = list(dict.fromkeys(model.case for model in self.models.values()))
        columns = [submission.id for submission in self.submissions]
        found = {}
        for view in VIEWS:
            rows = self.results[self.results["view"] == view]
            for value in VALUES:
                table = case_means(rows, value) if len(rows) else pd.DataFrame()
                found[view, value] = table.reindex(index=order, columns=columns)
        return found

    def covered(self, submission: Submission, cases: Sequence[str]) -> tuple[int, int]:
        """How many models of these cases a submission has scores of, and how many there are."""
        keys = {key for case in cases for key in self._keys_of[case]}
        return len(keys & submission.scores.keys()), len(keys)

    @cached_property
    def _keys_of(self) -> Mapping[str, list[str]]:
        """The models of each case."""
        found: dict[str, list[str]] = {}
        for key, model in self.models.items():
            found.setdefault(model.case, []).append(key)
        return found

    def ranked(self, cases: Sequence[str]) -> list[str]:
        """The ids of the methods, controls aside, that have scores of all models of these cases."""
        found = []
        for submission in self.submissions:
            n, of = self.covered(submission, cases)
            if submission.description.kind == "method" and n == of:
                found.append(submission.id)
        return found

    def standings(self, slice_key: str = HEADLINE, view: str = "edge") -> pd.DataFrame:
        """A row for each submission: those that are ranked, the best first; partial ones; controls.

        Columns COLUMNS: the range of ranks by AUROC that paired tests over cases leave; AUROC and
        average precision with intervals of 95% over cases, none for partial ones; cases that were
        averaged over; how many models are covered and of how many; passes for each pair of inputs
        and seconds for each model, as the submitter says; the division, and of the closed one the
        budget; the resolution at which scores were ranked; the zoo. Of too few cases there are
        neither intervals nor ranks; see `rank_ranges`.

        Raises UnknownNameError for another slice or view.
        """
        chosen = load_slice(self.slices, slice_key)
        if view not in VIEWS:
            raise UnknownNameError("view", view, VIEWS)
        means = {value: self._of_slice(chosen, view, value) for value in VALUES}
        covered = {s.id: self.covered(s, chosen.cases) for s in self.submissions}
        whole = [name for name, (n, of) in covered.items() if n == of]
        ranks = rank_ranges(means["auroc"][self.ranked(chosen.cases)])
        intervals = {value: _intervals(means[value][whole]) for value in VALUES}
        rows = []
        for submission in self.submissions:
            name = submission.id
            n, of = covered[name]
            low, high = ranks.get(name) or (np.nan, np.nan)
            numbers: list[float] = []
            for value in VALUES:
                numbers += intervals[value].get(name, (np.nan,) * 3)
            cases = int(means["auroc"][name].notna().sum())
            said = submission.description
            costs = (*_costs(submission, chosen.cases), said.division, said.budget or np.nan)
            rows.append((name, said.title, said.kind, low, high, *numbers, cases, n, of, *costs))
        table = pd.DataFrame(rows, columns=list(COLUMNS[:-2]))
        table = table.assign(resolution=self.resolution, zoo=self.zoo)
        return _in_order(table.astype({"rank_low": float, "rank_high": float}))

    def tests(self) -> pd.DataFrame:
        """Paired tests of AUROC over the structural cases between all ranked methods."""
        chosen = load_slice(self.slices, HEADLINE)
        names = self.ranked(chosen.cases)
        return paired_tests(self._of_slice(chosen, "edge", "auroc")[names])

    def _of_slice(self, chosen: Slice, view: str, value: str) -> pd.DataFrame:
        """Means [case, method]; cases of which the value is defined for no method are left out.

        Whether it is defined depends on the truth alone.
        """
        table = self.means[view, value].loc[list(chosen.cases)]
        return table.dropna(how="all") if len(self.submissions) else table


@takes(submissions=[Submission])
def rank_submissions(
    submissions: Sequence[Submission],
    *,
    slice_key: str = HEADLINE,
    view: str = "edge",
    resolution: float = RESOLUTION,
) -> pd.DataFrame:
    """The board as a table; see `Board.standings`."""
    return Board.of(submissions, resolution=resolution).standings(slice_key, view)


def _intervals(means: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """The mean of each method with its interval, NaN where there are too few cases for one."""
    mean, found = means.mean(), interval_over_cases(means)
    ends = {name: (i.low, i.high) if i else (np.nan, np.nan) for name, i in found.items()}
    return {name: (mean[name], *ends[name]) for name in means.columns}


def _costs(submission: Submission, cases: Sequence[str]) -> tuple[float, float]:
    """Passes, forward and backward, for each pair; seconds for each model; NaN where unsaid."""
    inside = set(cases)
    description = submission.description
    runs = [
        run
        for key, costs in description.costs.items()
        if key.partition("/")[0] in inside
        for run in costs
    ]
    if not runs:
        return np.nan, np.nan
    seconds = float(np.mean([run.seconds for run in runs]))
    if any(run.forward_passes is None or run.backward_passes is None for run in runs):
        return np.nan, seconds
    passes = np.mean([(run.forward_passes or 0) + (run.backward_passes or 0) for run in runs])
    return float(passes / description.conventions.n_pairs), seconds


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Ranked ones by AUROC, then AP; then partial ones by coverage; controls last."""
    order = table.assign(
        group=np.where(table["kind"] == "control", 2, table["models"] < table["of_models"]),
        uncovered=-table["models"],
        by_auroc=-table["auroc"].round(12),
        by_precision=-table["average_precision"].round(12),
    )
    keys = ["group", "by_auroc", "by_precision", "uncovered", "method"]
    return table.loc[order.sort_values(keys, kind="stable").index].reset_index(drop=True)
