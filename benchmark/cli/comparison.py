"""The command that compares the methods of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knowncircuits.cli.layout import Column, Row, Table, number_text
from knowncircuits.cli.options import (
    FiguresOption,
    FormatOption,
    ResolutionOption,
    ResultsArgument,
    level,
    output_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.cli.score_tables import summary_table
from knowncircuits.evaluation.choices import RESOLUTION

if TYPE_CHECKING:
    import pandas as pd


def compare(
    results: ResultsArgument,
    output: Annotated[
        Path | None,
        output_option("Folder of tables and figures; none by default."),
    ] = None,
    figures: FiguresOption = "html",
    resolution: ResolutionOption = RESOLUTION,
    alpha: Annotated[
        float,
        typer.Option(
            parser=level, help="Level of the tests, which are corrected for their number."
        ),
    ] = 0.05,
    form: FormatOption = "table",
) -> None:
    """Compare the methods of finished runs: means, intervals, ranks and paired tests.

    Scores are computed anew from the result files. With -o: scores.csv, summary.csv, tests.csv,
    and figures of curves, cases, scores and cost, of the structural cases.
    """
    from knowncircuits.evaluation.comparison.compare import compare_results
    from knowncircuits.evaluation.figures.pictures import check_targets
    from knowncircuits.evaluation.runs.results import read_results
    from knowncircuits.evaluation.scoring.ranking import check_resolution

    check_resolution(resolution)
    if output:
        check_targets([output / f"curves.{figures}"])
    found = compare_results(read_results(*results), resolution=resolution)
    to = Output(form)
    to.show(
        *map(summary_table, found.summaries),
        *(_tests_table(suite, tests, alpha) for suite, tests in found.tests.items()),
        data={name: found.tables[name] for name in ("summary", "tests")},
    )
    if output:
        for path in found.write(output, f".{figures}"):
            to.say(f"wrote {path}")


def _tests_table(suite: str, tests: pd.DataFrame, alpha: float) -> Table:
    """The pairs of methods that differ."""
    told = tests[tests["p_holm"] < alpha].to_dict("records")
    title = (
        f"{suite}: {len(told)} of {len(tests)} pairs of methods differ "
        f"(sign test over cases, Holm's correction, p < {alpha:g})"
    )
    columns = [
        Column("better", lambda row: row["a" if _wins(row) else "b"], number=False),
        Column("worse", lambda row: row["b" if _wins(row) else "a"], number=False),
        Column("AUROC by", lambda row: number_text(abs(row["difference"]))),
        Column("wins/losses/ties", _counts),
        Column("p", lambda row: f"{row['p_holm']:.2g}"),
        Column("A12", lambda row: number_text(max(row["a12"], 1 - row["a12"]))),
    ]
    return Table(columns, told, ("A12", "wins/losses/ties"), title)


def _wins(row: Row) -> bool:
    return bool(row["difference"] > 0)


def _counts(row: Row) -> str:
    wins = max(row["wins"], row["losses"]), min(row["wins"], row["losses"])
    return f"{wins[0]}/{wins[1]}/{row['ties']}"
