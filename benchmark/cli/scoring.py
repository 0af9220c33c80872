"""Commands that run discovery methods and score them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cli.budget import budget_tables
from knowncircuits.cli.following import follow_runs
from knowncircuits.cli.groups import CaseOptions, ExecutorOptions, TrackingOptions, grouped
from knowncircuits.cli.layout import Column, Table, short_text, words
from knowncircuits.cli.options import (
    FormatOption,
    ResolutionOption,
    output_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.cli.score_options import ModelsOptions, SeedOptions, SettingsOptions
from knowncircuits.cli.score_tables import (
    case_scores_table,
    summary_table,
)
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import RESOLUTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from knowncircuits.evaluation.runs.results import Result


@grouped
def score(
    method: Annotated[
        list[str],
        typer.Argument(
            metavar="METHOD...",
            help="Methods to run (see `knowncircuits methods`), your own as FILE.py:FUNCTION or "
            "MODULE:FUNCTION, or `all`.",
        ),
    ],
    cases: CaseOptions,
    models: ModelsOptions,
    settings: SettingsOptions,
    seeds: SeedOptions,
    executed: ExecutorOptions,
    *,
    resolution: ResolutionOption = RESOLUTION,
    output: Annotated[Path, output_option("Folder of the result files.")] = Path("results"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run everything anew and replace what is there.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also run again what the same code failed on before.")
    ] = False,
    tracking: TrackingOptions,
    form: FormatOption = "table",
) -> None:
    """Run discovery methods on trained models, by default seed0, and score them by their circuits.

    Writes OUTPUT/METHOD/CASE/VARIANT/SEED.json for each model and draw of pairs. A run that was
    stopped goes on where it was; results of a method that was edited since are computed anew. Where
    a method fails, SEED.failed.txt says why, the others go on, and the exit code is 1. With several
    numbers of pairs, each is in OUTPUT/pairs-N, and the table shows scores by cost; see `budget`.
    """
    from knowncircuits.evaluation.comparison.budget import budget_results
    from knowncircuits.evaluation.methods.discovery import expand_methods
    from knowncircuits.evaluation.runs.running import run
    from knowncircuits.evaluation.scoring.ranking import check_resolution
    from knowncircuits.files.writing import check_writable

    check_resolution(resolution)
    chosen = settings.of(expand_methods(method))
    subjects, draws = models.subjects(cases), seeds.draws()
    counts = list(dict.fromkeys(of_method.n_pairs for of_method in chosen))
    if len(counts) > 1 and tracking.wandb:
        raise InputError(f"expected one number of --pairs with --wandb, got {len(counts)}")
    check_writable(output)
    results: list[Result] = []
    with follow_runs(len(chosen) * len(subjects) * len(draws)) as followed:
        for n_pairs in counts:
            results += run(
                [of_method for of_method in chosen if of_method.n_pairs == n_pairs],
                subjects,
                output / f"pairs-{n_pairs}" if len(counts) > 1 else output,
                zoo=models.release,
                seeds=draws,
                resolution=resolution,
                executor=executed.chosen(),
                fresh=fresh,
                retry=retry,
                on_result=followed.on_result,
                on_failure=followed.on_failure,
            )
    to = Output(form)
    if results and len(counts) > 1:
        found = budget_results(results, resolution=resolution)
        to.show(*budget_tables(found), data=found.points)
    elif results:
        title = f"{chosen[0].name} on {models.words(cases)}"
        _print_scores(results, resolution, title, len(chosen) == 1, to)
        _log(results, resolution, tracking)
    followed.print_end(output, to)


def _print_scores(
    results: Sequence[Result], resolution: float, title: str, one_method: bool, to: Output
) -> None:
    """A row for each case of one method, or for each of several methods."""
    from knowncircuits.evaluation.comparison.scored import case_scores, score_results
    from knowncircuits.evaluation.comparison.summary import suites_frame, summarise

    table = score_results(results, resolution=resolution)
    if one_method:
        cases = case_scores(table)
        to.show(case_scores_table(title, cases), data=cases)
    else:
        summaries = summarise(table)
        to.show(*map(summary_table, summaries), data=suites_frame(summaries))


def _log(results: Sequence[Result], resolution: float, tracking: TrackingOptions) -> None:
    from knowncircuits.evaluation.comparison.compare import compare_results
    from knowncircuits.evaluation.comparison.comparison_log import log_comparison

    if tracking.wandb:
        comparison = compare_results(results, resolution=resolution)
        log_comparison(comparison, tracking.wandb, mode=tracking.wandb_mode)


def methods(form: FormatOption = "table") -> None:
    """List the discovery methods and the controls, with their options and defaults."""
    import pandas as pd

    from knowncircuits.evaluation.methods.discovery import default_options, describe_methods

    rows = [
        {
            "method": name,
            "kind": kind,
            "ranks by": method.rank_by,
            "options (-x)": default_options(method),
            "what it computes": (method.run.__doc__ or "").strip().partition("\n")[0],
        }
        for name, method, kind in describe_methods()
    ]
    columns = [
        *map(words, ("method", "kind", "ranks by")),
        Column("options (-x)", lambda row: _options_text(row["options (-x)"]), False, wraps=True),
        words("what it computes", wraps=True),
    ]
    table = Table(columns, rows, ("ranks by", "kind", "options (-x)", "what it computes"))
    Output(form).show(table, data=pd.DataFrame(rows))


def _options_text(options: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={short_text(value)}" for key, value in options.items())
