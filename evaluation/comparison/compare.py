"""All that is said of methods side by side, computed from the raw scores of finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.comparison.scored import score_results
from knowncircuits.evaluation.comparison.statistics import paired_tests
from knowncircuits.evaluation.comparison.summary import Summary, summarise
from knowncircuits.evaluation.comparison.written import write_all
from knowncircuits.evaluation.runs.results import Result, check_one_code
from knowncircuits.shown import Card, Shown, Table, counted


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """Several methods side by side, or one."""

    results: Sequence[Result]
    scores: pd.DataFrame  # see `score_results`
    summaries: Sequence[Summary]  # structural and degenerate cases apart
    tests: Mapping[str, pd.DataFrame]  # by suite; see `paired_tests`
    resolution: float = RESOLUTION  # at which scores were ranked

    def _card(self) -> Card:
        methods = counted(self.scores["method"].nunique(), "method")
        suites = ", ".join(f"{s.n_cases} {s.suite}" for s in self.summaries)
        return Card("", (methods, counted(len(self.results), "result"), suites), self._tables)

    def _tables(self) -> list[Table]:
        columns = ["method", "auroc", "average_precision", "seconds"]
        names = ("method", "AUROC", "average precision", "seconds")
        return [
            Table(s.title, names, [*s.table[columns].itertuples(index=False, name=None)])
            for s in self.summaries
        ]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Scores, summary and tests as a table each, with the suite where there are several."""
        return {
            "scores": self.scores,
            "summary": _stack({s.suite: s.table for s in self.summaries}),
            "tests": _stack(self.tests),
        }

    def write(self, folder: Path, ending: str = ".html") -> list[Path]:
        """Write tables, and plots of the structural cases (or of what there is); returns the files.

        Raises ResultError for files that cannot be written, or pictures that cannot be drawn.
        """
        from knowncircuits.evaluation.comparison import plots as figures

        summary = self.summaries[0]
        drawn = {
            "curves": figures.curves_figure(self.results, summary, self.resolution),
            "cases": figures.cases_figure(summary),
            "strips": figures.strips_figure(self.results, summary),
            "cost": figures.cost_figure(summary),
        }
        return write_all(folder, self.tables, drawn, ending)


@takes(results=[Result])
def compare_results(results: Sequence[Result], *, resolution: float = RESOLUTION) -> Comparison:
    """Score results anew and compare their methods, on the cases that all of them have.

    Args:
        results: of runs.
        resolution: scores that this share of the largest does not tell apart are ties; see `score`.

    Raises ResultError where there is no such case, a method has two results for one model and draw
    of pairs, or results of a method are of several codes.
    """
    check_one_code(results)
    scores = score_results(results, resolution=resolution)
    summaries = summarise(scores)
    if not summaries:
        methods = ", ".join(scores["method"].unique())
        raise ResultError(f"expected a case that all methods have ({methods}), got none")
    tests = {summary.suite: paired_tests(summary.means) for summary in summaries}
    return Comparison(results, scores, summaries, tests, resolution)


def _stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of suites as one."""
    return pd.concat([table.assign(suite=suite) for suite, table in tables.items()])
