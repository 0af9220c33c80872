"""Commands about causal effects: of one model, and of a trained beside a natural one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cli.layout import Table, indexed_table, share_text
from knowncircuits.cli.options import (
    CaseArgument,
    CompiledOption,
    FormatOption,
    ModelOption,
    ThemeOption,
    VariantOption,
    inputs_option,
    load_subject,
    pairs_option,
    parse_options,
    parse_scales,
    save_option,
    seed_option,
    setting_option,
    to_path,
)
from knowncircuits.cli.printing import Output
from knowncircuits.cli.progress import show_progress
from knowncircuits.cli.training import run_training
from knowncircuits.evaluation.choices import Ablated, EffectMetric, FigureName
from knowncircuits.work.progress import part

if TYPE_CHECKING:
    import pandas as pd


AblationOption = Annotated[
    list[str] | None,
    typer.Option(
        help="resample, mean, zero, self-inside, self-outside, resample-inside or "
        "resample-outside; may be repeated; default: resample."
    ),
]


def effects(
    case: CaseArgument,
    ablation: AblationOption = None,
    scales: Annotated[
        str | None,
        typer.Option(
            help="Numbers with commas; default: 0,0.1,0.2,0.5,0.7,0.8,1,1.2,1.4,2,5,10, and 1 "
            "for edges and positions."
        ),
    ] = None,
    granularity: Annotated[Ablated, typer.Option(help="What is ablated, one at a time.")] = "node",
    inputs: Annotated[int, inputs_option()] = 100,
    seed: Annotated[int, seed_option("Of the inputs.")] = 0,
    metric: Annotated[
        EffectMetric, typer.Option(help="Share of changed answers, or KL divergence.")
    ] = "flips",
    per_position: Annotated[
        bool, typer.Option("--per-position", help="At one position at a time.")
    ] = False,
    variant: VariantOption = None,
    compiled: CompiledOption = False,
    model: ModelOption = None,
    save: Annotated[list[Path] | None, save_option()] = None,
    figure: Annotated[
        FigureName | None, typer.Option(help="What is drawn; by default what suits the effects.")
    ] = None,
    theme: ThemeOption = "default",
    form: FormatOption = "table",
) -> None:
    """Measure how much each node or edge matters: the effect of ablating it, at several scales.

    Prints a table, and writes tables and figures by their endings: --save effects.html.
    """
    import pandas as pd

    from knowncircuits.evaluation.effects.causal import SCALES, causal_effects
    from knowncircuits.evaluation.figures.files import check_files, draw_effects, save_effects

    one = per_position or granularity == "edge"
    chosen = SCALES if scales is None and not one else parse_scales(scales or "1")
    subject, name = load_subject(case, variant, compiled, model)
    check_files(save or ())
    frames, kinds = [], ablation or ["resample"]
    with show_progress("effects", len(kinds)) as shown:
        for kind in kinds:
            with part(f"{name}: {kind}"):
                frame = causal_effects(
                    subject,
                    ablation=kind,
                    scales=chosen,
                    granularity=granularity,
                    n_inputs=inputs,
                    seed=seed,
                    metric=metric,
                    per_position=per_position,
                    name=name,
                )
            frames.append(frame)
            shown.advance()
    table = pd.concat(frames, ignore_index=True)
    drawn = None
    if any(path.suffix not in (".csv", ".json") for path in save or ()):
        drawn = draw_effects(table, subject.circuit, figure, theme=theme)
    to = Output(form)
    to.show(_effects_table(table), data=table)
    for path in save or ():
        save_effects(table, drawn, path)
        to.say(f"wrote {path}")


def realism(
    case: CaseArgument,
    variant: VariantOption = None,
    model: ModelOption = None,
    natural: Annotated[
        Path | None,
        typer.Option(
            parser=to_path, help="Folder of the natural model, used if it is there; natural/CASE."
        ),
    ] = None,
    option: Annotated[
        list[str] | None, setting_option("Of its TrainingConfig, as optimizer=adam")
    ] = None,
    ablation: AblationOption = None,
    scales: Annotated[
        str | None, typer.Option(help="Numbers with commas; by default those of `effects`.")
    ] = None,
    inputs: Annotated[int, inputs_option("For effects, which take all their pairs.")] = 100,
    pairs: Annotated[int, pairs_option("For accuracies.")] = 1_000,
    seed: Annotated[int, seed_option("Of inputs and pairs.")] = 0,
    save: Annotated[list[Path] | None, save_option()] = None,
    theme: ThemeOption = "default",
    form: FormatOption = "table",
) -> None:
    """Compare a trained model with a natural one, which learns the same answers freely.

    The natural model has the same sizes, initial weights and settings, but is trained for behaviour
    alone. Compared are accuracy with the rest of the model ablated, weight norms and node effects;
    figures show the effects side by side.
    """
    from knowncircuits.evaluation.effects.causal import SCALES
    from knowncircuits.evaluation.effects.realism import effects_of, natural_config
    from knowncircuits.evaluation.effects.realism import realism as compare_with_natural
    from knowncircuits.evaluation.figures.curves import effects_figure
    from knowncircuits.evaluation.figures.files import check_files, save_effects

    chosen = SCALES if scales is None else parse_scales(scales)
    trained, _ = load_subject(case, variant, False, model)
    folder = natural or Path("natural") / case
    config = natural_config(trained, **parse_options(option))
    check_files(save or ())
    to = Output(form)
    natural_model = _natural(trained, config, folder, to)
    with show_progress("realism"):
        table = compare_with_natural(
            trained,
            natural_model,
            ablations=ablation or ["resample"],
            scales=chosen,
            n_inputs=inputs,
            n_pairs=pairs,
            seed=seed,
        )
    to.show(*_realism_tables(table), data=table)
    figure = None
    if any(path.suffix not in (".csv", ".json") for path in save or ()):
        title = f"Causal effects in {case}, trained with its circuit and naturally"
        figure = effects_figure(effects_of(table), theme=theme, title=title)
    for path in save or ():
        save_effects(table, figure, path)
        to.say(f"wrote {path}")


def _natural(trained: Any, config: Any, folder: Path, to: Output) -> Any:
    """The natural model of a folder, or one that is trained and written there."""
    import json
    from dataclasses import asdict

    from knowncircuits.errors import ResultError
    from knowncircuits.evaluation.effects.realism import natural_trainer
    from knowncircuits.files.writing import check_writable
    from knowncircuits.models.trained import load_trained, save_trained
    from knowncircuits.models.zoo.produce import freeze

    if (folder / "config.json").exists():
        found = load_trained(folder)
        if found.training.get("config") != json.loads(json.dumps(asdict(config))):
            raise ResultError(
                f"{folder}: expected a natural model of these settings, got another; "
                "name another folder with --natural"
            )
        return found
    check_writable(folder)
    with show_progress("realism"):
        trainer = natural_trainer(trained, config)
    run_training(trainer, folder / "checkpoint.pt", None, "realism")
    found = freeze(trainer)
    save_trained(found, folder)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    to.say(f"natural model: {trainer.n_steps} steps, in {folder}")
    return found


def _effects_table(table: pd.DataFrame) -> Table:
    """A row for each node or edge, a column for each scale or position."""
    import pandas as pd

    from knowncircuits.evaluation.effects.wide import wide_effects

    about = (
        f"{', '.join(table['model'].unique())}: effects on up to {table['n'].max()} answers that "
        "differ between base and source; columns: "
    )
    if "position" not in table:
        return indexed_table(wide_effects(table), f"{about}scales", importance=_nearness_to_one)
    keys = [k for k in ("ablation", "scale") if table[k].nunique() > 1] + ["node", "status"]
    order = pd.MultiIndex.from_frame(table[keys].drop_duplicates())
    wide = table.pivot(index=keys, columns="position", values="effect").reindex(order)
    return indexed_table(wide.rename(columns={0: "BOS"}), f"{about}positions")


def _realism_tables(table: pd.DataFrame) -> list[Table]:
    from knowncircuits.evaluation.effects.realism import accuracies, correlations, node_table

    agreement = "agreement with the compiled model in %, as it is and with the outside ablated"
    return [
        indexed_table(accuracies(table), agreement, share_text),
        indexed_table(node_table(table), "nodes: norms of their weights, and effects at scale 1"),
        indexed_table(
            correlations(table), "correlation over all nodes of the two models' effects, by scale"
        ),
    ]


def _nearness_to_one(scale: float) -> float:
    """A whole interchange, scale 1, says most."""
    return -abs(scale - 1)
