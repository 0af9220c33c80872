"""Commands that run discovery methods and score them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cli.options import Metric, PatchedEdges, parse_options
from knowncircuits.cli.printing import console, number_text, print_table, progress_bar, short_text
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def score(
    method: Annotated[
        str, typer.Argument(help="A discovery method; see `methods`. Or your own: MODULE:FUNCTION.")
    ],
    case: Annotated[
        list[str] | None, typer.Option("--case", "-c", help="Only this case; may be repeated.")
    ] = None,
    suite: Annotated[str, typer.Option(help="Which cases to run on.")] = "all",
    variant: Annotated[
        str | None, typer.Option(help="Of the trained models: seed0 (default), seed1, shuffled.")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="On compiled models, not trained ones.")
    ] = False,
    model: Annotated[
        Path | None, typer.Option(help="On your own trained model: its folder.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Clean/corrupted pairs for each case.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the pairs.")] = 0,
    metric: Annotated[
        Metric | None, typer.Option(help="Default: KL for categorical outputs, L2 for numbers.")
    ] = None,
    corruption: Annotated[
        str,
        typer.Option(help="Corrupted inputs: resample, minimal, or variable:NAME of the program."),
    ] = "resample",
    ablation: Annotated[
        PatchedEdges, typer.Option(help="What patched edges read.")
    ] = PatchedEdges.resample,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-x", help="NAME=VALUE for the method; may be repeated."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the result files.")
    ] = Path("results"),
) -> None:
    """Run a discovery method on trained models and score it against their circuits.

    Writes OUTPUT/METHOD/CASE.json for each case. A run that was killed goes on where it was.
    """
    from knowncircuits.evaluation.discover import bind_options, load_method
    from knowncircuits.evaluation.runs import COMPILED, Settings, run
    from knowncircuits.exchange import check_writable

    if sum((compiled, model is not None, variant is not None)) > 1:
        raise InputError("expected one of --variant, --compiled and --model, got several")
    sys.path.insert(0, "")  # as `python -m` has it, so that MODULE may lie beside
    bind_options(load_method(method), method, given := parse_options(option))
    subject = model or (COMPILED if compiled else variant or "seed0")
    names = _names(subject, case, suite)
    settings = Settings(
        method,
        pairs,
        seed,
        metric.value if metric else None,
        given,
        corruption,
        subject,
        ablation.value,
    )
    folder = output / settings.folder
    check_writable(folder)
    with progress_bar() as progress:
        bar = progress.add_task(method, total=len(names))

        def tick(result: Any) -> None:
            progress.update(bar, advance=1, description=f"{method}: {result.case}")

        table = run(settings, names, output, tick)
    what = "compiled models" if compiled else model or f"trained models ({subject})"
    _print_scores(f"{method} on {what}", table)
    console().print(f"[dim]{len(table)} result files in {folder}[/dim]", highlight=False)


def methods() -> None:
    """List the discovery methods and the controls, with their options and defaults."""
    from knowncircuits.evaluation.discover import default_options, describe_methods

    rows = []
    for name, method, kind in describe_methods():
        first = (method.run.__doc__ or "").strip().partition("\n")[0]
        options = " ".join(
            f"{key}={short_text(value)}" for key, value in default_options(method).items()
        )
        rows.append((name, kind, method.rank_by, options, first))
    print_table(("method", "kind", "ranks by", "options (-x)", "what it computes"), rows)


def _names(subject: str | Path, cases: Sequence[str] | None, suite: str) -> Sequence[str]:
    """The cases to score on; of a suite those that have a model, and the others are named."""
    from knowncircuits.cases import list_cases, load_case
    from knowncircuits.evaluation.runs import COMPILED
    from knowncircuits.models.trained import load_trained
    from knowncircuits.models.zoo import list_models, load_model

    if isinstance(subject, Path):
        trained = load_trained(subject)
        name = trained.compiled.name
        if cases and set(cases) != {name}:
            raise InputError(f"expected no case but {name}, got {', '.join(cases)}")
        if trained.certificate is None or not trained.certificate.passed:
            print(f"not certified: {subject}; truth is what it was trained for", file=sys.stderr)
        return [name]
    if cases:
        for name in cases:  # so that a name that there is not is found before anything runs
            load_case(name) if subject == COMPILED else load_model(name, subject)
        return list(cases)
    names = list_cases(suite)
    if subject == COMPILED:
        return names
    there = list_models(suite, subject)
    if not there:
        raise InputError(f"expected a trained model {subject} of some case of {suite}, got none")
    if missing := [name for name in names if name not in there]:
        print(f"no trained model {subject}: {', '.join(missing)}", file=sys.stderr)
    return there


def _print_scores(title: str, table: pd.DataFrame) -> None:
    from knowncircuits.cases import list_cases

    rows: list[tuple[str, ...]] = [
        (
            row["case"],
            number_text(row["auroc"]),
            number_text(row["average_precision"]),
            number_text(row["precision_at_size"]),
            number_text(row["prevalence"]),
            str(row["n_edges"]),
            str(row["n_true"]),
            f"{row['seconds']:.2f}",
        )
        for _, row in table.iterrows()
    ]
    structural = table[table["case"].isin(list_cases("structural"))]
    for what, part in (("structural", structural), ("all", table)):
        if len(part) > 1 and not (what == "all" and len(structural) == len(table)):
            means = part[["auroc", "average_precision", "precision_at_size", "prevalence"]].mean()
            seconds = f"{part['seconds'].sum():.2f}"
            rows.append((f"mean of {len(part)} {what}", *map(number_text, means), "", "", seconds))
    header = (
        "case",
        "AUROC",
        "AP",
        "precision at size",
        "AP at random",
        "edges",
        "true",
        "seconds",
    )
    print(f"{title} (AUROC at random: 0.5)")
    print_table(header, rows, numbers=range(1, 8))
