"""The command that shows what methods find for what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from knowncircuits.cli.layout import Column, Row, Table, number_text, words
from knowncircuits.cli.options import (
    FiguresOption,
    FormatOption,
    ResolutionOption,
    ResultsArgument,
    output_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.evaluation.choices import RESOLUTION

if TYPE_CHECKING:
    from knowncircuits.evaluation.comparison.budget import Budget


def budget(
    results: ResultsArgument,
    output: Annotated[
        Path | None,
        output_option("Folder of the table and the figure; none by default."),
    ] = None,
    figures: FiguresOption = "html",
    resolution: ResolutionOption = RESOLUTION,
    form: FormatOption = "table",
) -> None:
    """Show scores against cost, by the number of pairs.

    Reads finished runs of `score --pairs 1,4,16`, and shows average precision against passes,
    forward and backward ones alike, and the Pareto front. With -o: budget.csv and a figure.
    """
    from knowncircuits.evaluation.comparison.budget import budget_results
    from knowncircuits.evaluation.comparison.budget_plots import write_budget
    from knowncircuits.evaluation.figures.pictures import check_targets
    from knowncircuits.evaluation.runs.results import read_results
    from knowncircuits.evaluation.scoring.ranking import check_resolution

    check_resolution(resolution)
    if output:
        check_targets([output / f"budget.{figures}"])
    found = budget_results(read_results(*results), resolution=resolution)
    to = Output(form)
    to.show(*budget_tables(found), data=found.points)
    if output:
        for path in write_budget(found, output, f".{figures}"):
            to.say(f"wrote {path}")


def budget_tables(found: Budget) -> list[Table]:
    """A table for each suite: a row for each method and number of pairs."""
    columns = [
        words("method"),
        Column("pairs", lambda row: str(row["n_pairs"])),
        Column("AP", lambda row: number_text(row["average_precision"])),
        Column("AUROC", lambda row: number_text(row["auroc"])),
        Column("passes", _passes),
        Column("seconds", lambda row: f"{row['seconds']:.2f}"),
        Column("front", lambda row: "*" if row["front"] else "", number=False),
    ]
    return [
        Table(
            columns,
            rows.to_dict("records"),
            ("seconds", "AUROC"),
            f"mean of {rows['cases'].iloc[0]} {suite} cases; *: on the Pareto front",
        )
        for suite, rows in found.points.groupby("suite", sort=False)
    ]


def _passes(row: Row) -> str:
    """The passes for one model as text, or - where the method does not say."""
    return "-" if row["passes"] != row["passes"] else f"{row['passes']:,.0f}"
