"""The command that says how far gradients and patching agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cases.choices import Direction
from knowncircuits.cli.groups import FileOptions, grouped
from knowncircuits.cli.layout import Table, magnitude_text, number_text, numbers, words
from knowncircuits.cli.options import (
    CaseArgument,
    CompiledOption,
    DeviceOption,
    FormatOption,
    ModelOption,
    ResolutionOption,
    VariantOption,
    ZooOption,
    load_chosen,
    pairs_option,
    parse_options,
    seed_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import RESOLUTION, Ablation, AgreementLevel, MetricName
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    from knowncircuits.evaluation.components.agreement import Agreement


@grouped
def agreement(
    case: CaseArgument,
    *,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="For edges one of `methods`; for components exact, gradient, ig-inputs, ig-layer "
            "or ig-alone; with options as 'ig-layer steps=20 rule=gauss'; may be repeated.",
        ),
    ] = None,
    level: Annotated[
        AgreementLevel,
        typer.Option(help="Level of what is scored; positions are those of all nodes."),
    ] = "edge",
    top: Annotated[
        int, typer.Option(min=1, help="How many of the highest to compare for overlap.")
    ] = 10,
    pairs: Annotated[int, pairs_option("Clean/corrupted pairs.")] = 100,
    seed: Annotated[int, seed_option("Seed of the pairs.")] = 0,
    metric: Annotated[
        MetricName | None,
        typer.Option(help="Metric; by default KL for categorical outputs, L2 for numbers."),
    ] = None,
    direction: Annotated[
        Direction | None,
        typer.Option(help="Direction of the pairs, for a case that has one: on-off or off-on."),
    ] = None,
    ablation: Annotated[
        Ablation, typer.Option(help="What patched items read instead.")
    ] = "resample",
    resolution: ResolutionOption = RESOLUTION,
    variant: VariantOption = None,
    zoo: ZooOption = None,
    compiled: CompiledOption = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    files: FileOptions,
    form: FormatOption = "table",
) -> None:
    """Compare gradients with patching: correlations, signs, overlap, sums, and AUROC beside.

    Prints a row for each method, and for each two; writes the scores of all items, or scatters, by
    the ending: --save agreement.html.
    """
    from knowncircuits.evaluation.components.agreement import agreement as compared
    from knowncircuits.evaluation.figures.agreement import agreement_figure
    from knowncircuits.evaluation.task import make_task

    methods = [parse_method(text) for text in method or ()]
    files.check()
    subject, name = load_chosen(case, variant, zoo, compiled=compiled, model=model, device=device)
    task = make_task(subject, pairs, seed, metric, direction=direction, ablation=ablation)
    with show_progress("agreement"):
        found = compared(
            task, methods, level, truth=subject.circuit, top=top, resolution=resolution
        )
    to = Output(form)
    to.show(*_tables(found, name), data=found.tables)
    drawn = files.draw(lambda: agreement_figure(found, theme=files.theme))
    files.write(found.scores, drawn, to)


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """A method with its options; raises InputError for what is none."""
    name, *options = text.split() or [""]
    if not name:
        raise InputError(f"expected a method like 'ig-layer steps=20', got {text!r}")
    return name, parse_options(options)


def _tables(found: Agreement, name: str) -> tuple[Table, Table]:
    worst = found.completeness.assign(size=found.completeness["residual"].abs())
    worst = worst.loc[worst.groupby("method")["size"].idxmax(), ["method", "cut", "effect"]]
    rows = found.quality.merge(worst, on="method").to_dict("records")
    areas = {"AUROC": "auroc", "AP": "average_precision"} if found.known else {}
    quality = Table(
        [
            words("method"),
            *(numbers(short, key, number_text) for short, key in areas.items()),
            numbers("residual", form=magnitude_text),
            words("cut"),
            numbers("effect", form=magnitude_text),
        ],
        rows,
        (),
        f"{name}, {len(found.scores)} items, {found.metric}; residual: what scores of a cut come "
        "to, less its effect, patched at once; the largest over cuts",
    )
    agreeing = Table(
        [
            words("method"),
            words("other"),
            numbers("Pearson", "pearson", number_text),
            numbers("Spearman", "spearman", number_text),
            numbers("same sign", "sign", number_text),
            numbers("overlap", form=number_text),
        ],
        found.pairs.to_dict("records"),
        (),
        f"overlap: Jaccard index of the {found.pairs['top'].iloc[0]} highest; - where not defined",
    )
    return quality, agreeing
