"""The group `bench`: speed, against a baseline in the same process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knowncircuits.cli.groups import VariantOptions, grouped
from knowncircuits.cli.layout import frame_table
from knowncircuits.cli.options import (
    CaseArgument,
    CasesOption,
    DeviceOption,
    FolderOption,
    Format,
    FormatOption,
    MethodsOption,
    StackOption,
    check_device,
    choose_cases,
    inputs_option,
    pairs_option,
    parse_options,
    seed_option,
    setting_option,
    to_path,
)
from knowncircuits.cli.printing import Output
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    import pandas as pd

bench_app = typer.Typer(help="Measure speed against a baseline in the same process.")


@bench_app.command("patching")
def bench_patching(
    masks: Annotated[int, typer.Option(min=1, help="Patched runs.")] = 256,
    form: FormatOption = "table",
) -> None:
    """Time many masks in one batch, against the same through the hooked module one by one."""
    from knowncircuits.evaluation.bench.patching import bench_patching as bench

    with show_progress("patching"):
        table = bench(n_masks=masks)
    _show(table, form)


@bench_app.command("architectures")
def bench_architectures(
    architecture: Annotated[
        list[str] | None, typer.Option(help="Test only this one; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Draws of weights.")] = 5,
    form: FormatOption = "table",
) -> None:
    """Test which language models are split exactly: tiny ones, edge by edge, against hooks."""
    from knowncircuits.evaluation.bench.architectures import bench_architectures as bench

    with show_progress("architectures"):
        table = bench(architecture, range(seeds))
    _show(table, form)


@bench_app.command("effects")
def bench_effects(
    inputs: Annotated[int, inputs_option()] = 100,
    form: FormatOption = "table",
) -> None:
    """Effects of all nodes at twelve scales, against a hook for each node and scale."""
    from knowncircuits.evaluation.bench.effects_time import bench_effects as bench

    with show_progress("effects"):
        table = bench(n_inputs=inputs)
    _show(table, form)


@bench_app.command("components")
def bench_components(
    width: Annotated[
        list[int] | None,
        typer.Option(
            min=12, help="Width of the residual stream (GPT-2's is 768); may be repeated."
        ),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help="View to patch: z, q, k, v or pattern; may be repeated. By default all."),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(min=0, max=11, help="Patch only the heads of this layer; may be repeated."),
    ] = None,
    hooks: Annotated[int, typer.Option(min=2, help="Patches to do by hooks.")] = 60,
    form: FormatOption = "table",
) -> None:
    """Time patches of all heads and positions of 12 layers of 12, against one hook at a time."""
    from knowncircuits.evaluation.bench.components_time import bench_components as bench
    from knowncircuits.evaluation.components.views import OF_HEADS

    with show_progress("components"):
        table = bench(
            tuple(width or [96]),
            views=tuple(view or OF_HEADS),
            layers=None if layer is None else tuple(layer),
            n_hooked=hooks,
        )
    _show(table, form)


@bench_app.command("sampling")
def bench_sampling(form: FormatOption = "table") -> None:
    """Inputs with outputs in one batch, against a call of the program for each."""
    from knowncircuits.evaluation.bench.sampling import bench_sampling as bench

    with show_progress("sampling"):
        table = bench()
    _show(table, form)


@bench_app.command("compiling")
def bench_compiling(form: FormatOption = "table") -> None:
    """Seconds to compile each case, checks included; the slowest ten and the sum."""
    from knowncircuits.evaluation.bench.compiling import bench_compiling as bench

    with show_progress("compiling"):
        table = bench()
    _show(table, form)


@bench_app.command("methods")
def bench_methods(
    pairs: Annotated[int, pairs_option()] = 100,
    method: MethodsOption = None,
    form: FormatOption = "table",
) -> None:
    """Seconds and passes of every method, on a small trained model and on one of four layers."""
    from knowncircuits.evaluation.bench.methods_time import bench_methods as bench

    with show_progress("methods"):
        table = bench(pairs, method)
    _show(table, form)


@bench_app.command("attribution")
def bench_attribution(
    peer: Annotated[
        Path | None,
        typer.Option(parser=to_path, help="Python of an environment with EAP-IG; docs/scale.md."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each method.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each run.")] = 1,
    method: MethodsOption = None,
    form: FormatOption = "table",
) -> None:
    """Time eap and eap-ig-inputs at GPT-2 small's sizes, beside EAP-IG's, with their memory."""
    from knowncircuits.evaluation.bench.attribution_time import METHODS
    from knowncircuits.evaluation.bench.attribution_time import bench_attribution as bench

    with show_progress("attribution"):
        methods = tuple(method or METHODS)
        table = bench(methods=methods, repeats=repeats, threads=threads, peer=peer)
    _show(table, form)


@bench_app.command("memory")
def bench_memory(method: MethodsOption = None, form: FormatOption = "table") -> None:
    """Measure methods' memory as a multiple of what a run writes: of a batch, of all pairs."""
    from knowncircuits.evaluation.bench.memory import METHODS
    from knowncircuits.evaluation.bench.memory import bench_memory as bench

    with show_progress("memory"):
        table = bench(method or METHODS)
    _show(table, form)


@bench_app.command("scoring")
def bench_scoring(form: FormatOption = "table") -> None:
    """Seconds and memory of scoring large graphs in every view, beside scikit-learn's areas."""
    from knowncircuits.evaluation.bench.scoring_time import bench_scoring as bench

    with show_progress("scoring"):
        table = bench()
    _show(table, form)


@bench_app.command("training")
def bench_training(
    case: CasesOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--settings",
            help="Settings to compare: default, Adam, RMSNorm, ...; may be repeated.",
        ),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Compare all settings.")] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps at most; by default as `train`.")
    ] = None,
    pairs: Annotated[int, pairs_option("Pairs of the certificates.")] = 20_000,
    form: FormatOption = "table",
) -> None:
    """Train and certify models from scratch on one core; what each part of the training buys.

    By default fraction_of_x and histogram.
    """
    from knowncircuits.evaluation.bench import training_time as training

    with show_progress("training", unit="models") as shown:
        table = training.bench_training(
            case or training.CASES,
            settings=[*training.SETTINGS] if compare else settings or ["default"],
            steps=steps,
            n_pairs=pairs,
            on_row=shown.advance,
        )
    _show(table, form)


@bench_app.command("models")
def bench_models(
    programs: Annotated[int, typer.Option("--number", "-n", min=1, help="How many to draw.")] = 4,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Model of each program, by default seed0; may be repeated."),
    ] = None,
    seed: Annotated[int, seed_option("Seed of the programs.")] = 1,
    option: Annotated[
        list[str] | None,
        setting_option("Depart from the recipe of generated programs, as d_model=32"),
    ] = None,
    pairs: Annotated[int, pairs_option("Pairs of the certificates.")] = 20_000,
    stack: StackOption = 1,
    device: DeviceOption = "cpu",
    form: FormatOption = "table",
) -> None:
    """Certified models an hour: programs drawn, compiled, trained and certified, on one core.

    With --stack and --device cuda on a GPU. The models are thrown away.
    """
    from knowncircuits.evaluation.bench.models_time import bench_models as bench

    check_device(device)
    variants = variant or ["seed0"]
    with show_progress("models", programs * len(variants)) as shown:
        table = bench(
            programs,
            variants,
            seed=seed,
            n_pairs=pairs,
            stack=stack,
            device=device,
            settings=parse_options(option),
            on_outcome=lambda outcome: shown.advance(),
        )
    _show(table, form)


@bench_app.command("stacks")
def bench_stacks(
    stack: Annotated[
        list[int] | None, typer.Option(min=1, help="Models in a stack; may be repeated.")
    ] = None,
    case: CaseArgument = "histogram",
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed of each.")] = 20,
    device: DeviceOption = "cpu",
    form: FormatOption = "table",
) -> None:
    """Steps of training of many models in one batch, against each alone."""
    from knowncircuits.evaluation.bench.stacks_time import bench_stacks as bench

    check_device(device)
    with show_progress("stacks"):
        table = bench(stack or (1, 4, 16), case=case, steps=steps, device=device)
    _show(table, form)


@bench_app.command("leaks")
@grouped
def bench_leaks(
    variants: VariantOptions,
    case: CasesOption = None,
    folder: FolderOption = None,
    leaks: Annotated[
        int, typer.Option(min=1, help="Leaks of each kind and label, for each model and stratum.")
    ] = 1,
    pairs: Annotated[int, pairs_option("Pairs of each stratum.")] = 500,
    form: FormatOption = "table",
) -> None:
    """Plant leaks into trained models, and see whether certificates catch and name each.

    Along edges, where the program says None, at rare answers, on shorter inputs, in company alone,
    by copies of heads; at effects of .1% and more, which the hooked twin measures.
    """
    from knowncircuits.evaluation.bench import leaks as bench

    zoo = variants.in_folder(folder)
    names = choose_cases(case) if case else bench.CASES[variants.version]
    models = {
        f"{name}/{variant}": zoo.load(name, variant).placed
        for variant in variants.chosen("seed0", zoo)
        for name in names
    }
    with show_progress("leaks", unit="leaks") as shown:
        found = bench.bench_leaks(models, n_leaks=leaks, n_pairs=pairs, on_leak=shown.advance)
    counts = bench.count_leaks(found)
    Output(form).show(frame_table(counts), data={"counts": counts, "leaks": found})


@bench_app.command("intervals")
def bench_intervals(
    samples: Annotated[
        int, typer.Option(min=1, help="Samples of each population and size.")
    ] = 1_000,
    boards: Annotated[int, typer.Option(min=1, help="Simulated boards of ten methods.")] = 200,
    board: Annotated[
        Path | None,
        typer.Option(
            parser=to_path,
            help="Folder of submissions whose values by case serve as populations, too.",
        ),
    ] = None,
    method: MethodsOption = None,
    form: FormatOption = "table",
) -> None:
    """Simulate how often intervals and ranks hold the truth, beside those of a bootstrap.

    The methods are a board's, by default eap and edge-sp.
    """
    from knowncircuits.evaluation.bench import interval_coverage as intervals

    populations = dict(intervals.POPULATIONS)
    if board:
        from knowncircuits.leaderboard.site.board_time import case_values

        for name, values in case_values(board, method or ["eap", "edge-sp"]).items():
            populations[name] = intervals.population_of(values)
    with show_progress("intervals", unit="steps") as shown:
        held = intervals.bench_intervals(populations, samples=samples, on_step=shown.advance)
        ranks = intervals.bench_ranks(samples=boards, on_step=shown.advance)
    Output(form).show(
        frame_table(held, "of 100 intervals of 95%, those that hold the mean; how wide they are"),
        frame_table(ranks, "of 100 boards, those whose ranges all hold; of 100 pairs, told apart"),
        data={"intervals": held, "ranks": ranks},
    )


@bench_app.command("leaderboard")
def bench_leaderboard(
    submissions: Annotated[
        int, typer.Option(min=1, help="Submissions to make, of random scores.")
    ] = 200,
    form: FormatOption = "table",
) -> None:
    """Random submissions of all models written, read, scored, and built into a site."""
    from tempfile import TemporaryDirectory

    from knowncircuits.leaderboard.site.board_time import bench_leaderboard as bench

    with TemporaryDirectory() as folder, show_progress("leaderboard", unit="steps") as shown:
        table = bench(Path(folder), submissions, on_step=shown.advance)
    _show(table, form)


def _show(table: pd.DataFrame, form: Format) -> None:
    Output(form).show(frame_table(table), data=table)
