"""Commands that run discovery methods and score them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cli.following import follow_runs
from knowncircuits.cli.layout import Column, Table, short_text, words
from knowncircuits.cli.options import (
    DEFAULT_RESOLUTION,
    CasesOption,
    CompiledOption,
    FamilyOption,
    FormatOption,
    JobsOption,
    ModelOption,
    ResolutionOption,
    SeedsOption,
    SuiteOption,
    VariantsOption,
    WandbModeOption,
    WandbOption,
    check_tracking,
    choose_cases,
    choose_variants,
    output_option,
    pairs_option,
    parse_options,
    seed_option,
    setting_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.cli.score_tables import (
    case_scores,
    case_scores_table,
    suites_frame,
    summary_table,
)
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import Ablation, MetricName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from knowncircuits.evaluation.runs.running import Settings, Subject


def score(
    method: Annotated[
        list[str],
        typer.Argument(
            metavar="METHOD...",
            help="Discovery methods; see `methods`. Or your own: MODULE:FUNCTION. Or `all`.",
        ),
    ],
    case: CasesOption = None,
    suite: SuiteOption = None,
    family: FamilyOption = None,
    variant: VariantsOption = None,
    compiled: CompiledOption = False,
    model: ModelOption = None,
    pairs: Annotated[int, pairs_option()] = 100,
    seeds: SeedsOption = 1,
    seed: Annotated[int, seed_option("The first seed, of pairs and methods.")] = 0,
    metric: Annotated[
        MetricName | None, typer.Option(help="Default: KL for categorical outputs, L2 for numbers.")
    ] = None,
    corruption: Annotated[
        str,
        typer.Option(help="Corrupted inputs: resample, minimal, or variable:NAME of the program."),
    ] = "resample",
    ablation: Annotated[Ablation, typer.Option(help="What patched edges read.")] = "resample",
    option: Annotated[list[str] | None, setting_option("For the method")] = None,
    resolution: ResolutionOption = DEFAULT_RESOLUTION,
    label: Annotated[
        str, typer.Option(help="What the results are called; by default as the method.")
    ] = "",
    jobs: JobsOption = 1,
    output: Annotated[Path, output_option("Folder of the result files.")] = Path("results"),
    threads: Annotated[
        int, typer.Option(min=1, help="Of torch, in each process; scores may depend on it.")
    ] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run everything anew, in place of what is there.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also what the same code failed on before.")
    ] = False,
    form: FormatOption = "table",
    wandb: WandbOption = None,
    wandb_mode: WandbModeOption = None,
) -> None:
    """Run discovery methods on trained models, by default seed0, and score them by their circuits.

    Writes OUTPUT/METHOD/CASE/VARIANT/SEED.json for each model and draw of pairs. A run that was
    stopped goes on where it was; results of a method that was edited since are computed anew. Where
    a method fails, SEED.failed.txt says why, the others go on, and the exit code is 1.
    """
    from knowncircuits.evaluation.comparison.scored import score_results
    from knowncircuits.evaluation.comparison.summary import summarise
    from knowncircuits.evaluation.runs.results import COMPILED
    from knowncircuits.evaluation.runs.running import Settings, run
    from knowncircuits.evaluation.scoring.ranking import check_resolution
    from knowncircuits.files.writing import check_writable

    check_tracking(wandb, wandb_mode)
    check_resolution(resolution)
    if sum((compiled, model is not None, bool(variant))) > 1:
        raise InputError("expected one of --variant, --compiled and --model, got several")
    chosen = _methods(method)
    if label and len(chosen) > 1:
        raise InputError(f"expected --label with one method, got {len(chosen)}")
    if any(":" in name for name in chosen):
        # Last, so that MODULE may lie here, but no file stands in for something installed.
        sys.path.append("")
    given = parse_options(option)
    settings = [
        Settings(
            name,
            pairs,
            metric,
            given,
            corruption,
            ablation,
            label,
            threads,
        )
        for name in chosen
    ]
    settings = [_with_fitted_options(entry) for entry in settings]
    names = choose_cases(case, suite, family)
    if model:
        subjects = [_own(model, case)]
    elif compiled:
        subjects = [(name, COMPILED) for name in names]
    else:
        subjects = _trained(choose_variants(variant, "seed0"), names, bool(case))
    check_writable(output)
    draws = range(seed, seed + seeds)
    total = len(settings) * len(subjects) * seeds
    with follow_runs(total) as followed:
        results = run(
            settings,
            subjects,
            output,
            seeds=draws,
            resolution=resolution,
            processes=jobs,
            fresh=fresh,
            retry=retry,
            on_result=followed.on_result,
            on_failure=followed.on_failure,
        )
    what = "compiled models" if compiled else model or "trained models"
    to = Output(form)
    if results:
        table = score_results(results, resolution=resolution)
        if len(chosen) == 1:
            cases = case_scores(table)
            to.show(case_scores_table(f"{settings[0].name} on {what}", cases), data=cases)
        else:
            summaries = summarise(table)
            to.show(*map(summary_table, summaries), data=suites_frame(summaries))
    if wandb and results:
        from knowncircuits.evaluation.comparison.compare import compare_results
        from knowncircuits.evaluation.comparison.comparison_log import log_comparison

        log_comparison(compare_results(results, resolution=resolution), wandb, mode=wandb_mode)
    followed.print_end(output, to)


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


def _methods(names: Sequence[str]) -> list[str]:
    """The methods named, without repetition; `all` stands for all of ours."""
    from knowncircuits.evaluation.methods.discovery import describe_methods

    ours = [name for name, _, kind in describe_methods() if kind != "added"]
    return list(dict.fromkeys(n for name in names for n in (ours if name == "all" else [name])))


def _with_fitted_options(entry: Settings) -> Settings:
    """The settings with options as the method takes them, so that 1e3 and 1000 are the same run.

    Raises before anything runs for a method that there is not, or that does not take the options.
    """
    from pydantic_core import to_jsonable_python

    from knowncircuits.evaluation.methods.discovery import bind_options, load_method

    bound = bind_options(load_method(entry.method), entry.method, entry.options)
    given = {name: bound[name] for name in entry.options}
    return replace(entry, options=to_jsonable_python(given, fallback=str))


def _trained(
    variants: Sequence[str], names: Sequence[str], named: bool
) -> list[tuple[str, Subject]]:
    """Those models of cases that there are; cases that have none are named.

    Where the cases were asked for by name, one without a model is an error.
    """
    from knowncircuits.models.zoo.shelf import SHIPPED, load_model

    there = [(name, kind) for name in names for kind in variants if SHIPPED.holds(name, kind)]
    if named and len(variants) == 1:
        for name in names:  # an error that says what there is instead, before anything runs
            load_model(name, variants[0])
    if not there:
        raise InputError(
            f"expected a trained model {' or '.join(variants)} of some of {len(names)} cases, "
            "got none"
        )
    if missing := [name for name in names if name not in dict(there)]:
        print(f"no trained model {' or '.join(variants)}: {', '.join(missing)}", file=sys.stderr)
    return list(there)


def _own(folder: Path, cases: Sequence[str] | None) -> tuple[str, Subject]:
    """A model of one's own, with a word of warning where it is not certified."""
    from knowncircuits.models.trained import load_trained

    trained = load_trained(folder)
    name = trained.compiled.name
    if cases and set(cases) != {name}:
        raise InputError(f"expected no case but {name}, got {', '.join(cases)}")
    if trained.certificate is None or not trained.certificate.passed:
        print(f"not certified: {folder}; truth is what it was trained for", file=sys.stderr)
    return name, folder
