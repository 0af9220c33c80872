"""The command that compares the methods of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from knowncircuits.cli.options import (
    DEFAULT_RESOLUTION,
    ResolutionOption,
    level,
    output_option,
    to_path,
)
from knowncircuits.cli.printing import number_text, print_table
from knowncircuits.cli.tables import print_method_scores

if TYPE_CHECKING:
    import pandas as pd

FigureFormat = Literal["html", "png", "svg", "pdf"]


def compare(
    results: Annotated[
        list[Path], typer.Argument(parser=to_path, help="Folders of result files, of `score`.")
    ],
    output: Annotated[
        Path | None,
        output_option("Folder of tables and figures; none by default."),
    ] = None,
    figures: Annotated[FigureFormat, typer.Option(help="How figures are written.")] = "html",
    resolution: ResolutionOption = DEFAULT_RESOLUTION,
    alpha: Annotated[
        float,
        typer.Option(parser=level, help="Level of the tests, corrected for their number."),
    ] = 0.05,
) -> None:
    """Compare the methods of finished runs: means, intervals, ranks and paired tests.

    Scores are computed anew from the result files. With -o: scores.csv, summary.csv, tests.csv,
    and figures of curves, cases, scores and cost, of the structural cases.
    """
    from knowncircuits.evaluation.results import read_results
    from knowncircuits.evaluation.scoring.comparison import compare_results
    from knowncircuits.evaluation.scoring.ranking import check_resolution
    from knowncircuits.pictures import check_targets

    check_resolution(resolution)
    if output:
        check_targets([output / f"curves.{figures}"])
    found = compare_results(read_results(*results), resolution=resolution)
    print_method_scores(found.scores)
    for suite, tests in found.tests.items():
        _print_tests(suite, tests, alpha)
    if output:
        for path in found.write(output, f".{figures}"):
            print(f"wrote {path}")


def _print_tests(suite: str, tests: pd.DataFrame, alpha: float) -> None:
    told = tests[tests["p_holm"] < alpha].to_dict("records")
    print(
        f"{suite}: {len(told)} of {len(tests)} pairs of methods differ "
        f"(sign test over cases, Holm's correction, p < {alpha:g})"
    )
    rows = []
    for row in told:
        better, worse = (row["a"], row["b"]) if row["difference"] > 0 else (row["b"], row["a"])
        wins = max(row["wins"], row["losses"]), min(row["wins"], row["losses"])
        a12 = max(row["a12"], 1 - row["a12"])
        rows.append(
            (
                better,
                worse,
                number_text(abs(row["difference"])),
                f"{wins[0]}/{wins[1]}/{row['ties']}",
                f"{row['p_holm']:.2g}",
                number_text(a12),
            )
        )
    if rows:
        header = ("better", "worse", "AUROC by", "wins/losses/ties", "p", "A12")
        print_table(header, rows, numbers=range(2, 6))
