"""Commands about causal effects: of one model, and of a trained beside a natural one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from knowncircuits.cli.groups import FileOptions, grouped
from knowncircuits.cli.layout import Table, indexed_table, share_text
from knowncircuits.cli.options import (
    CaseArgument,
    CompiledOption,
    DeviceOption,
    FormatOption,
    ModelOption,
    VariantOption,
    ZooOption,
    inputs_option,
    load_chosen,
    pairs_option,
    parse_options,
    parse_scales,
    seed_option,
    setting_option,
    to_path,
)
from knowncircuits.cli.printing import Output
from knowncircuits.evaluation.choices import Ablated, EffectMetric, FigureName, MlpPlace
from knowncircuits.work.progress import part
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    import pandas as pd

    from knowncircuits.models.trained import Trained


AblationOption = Annotated[
    list[str] | None,
    typer.Option(
        help="resample, mean, zero, self-inside, self-outside, resample-inside or "
        "resample-outside; may be repeated; default: resample."
    ),
]


MlpOption = Annotated[
    MlpPlace,
    typer.Option(
        "--mlp-at", help="Ablate what MLPs write, bias and all, or their hidden units (post)."
    ),
]


@grouped
def effects(
    case: CaseArgument,
    *,
    ablation: AblationOption = None,
    scales: Annotated[
        str | None,
        typer.Option(
            help="Numbers with commas; default: 0,0.1,0.2,0.5,0.7,0.8,1,1.2,1.4,2,5,10, and 1 "
            "for edges and positions."
        ),
    ] = None,
    granularity: Annotated[Ablated, typer.Option(help="What is ablated, one at a time.")] = "node",
    nodes: Annotated[
        str | None,
        typer.Option(help="Ablate these nodes or edges alone: names with commas, as m0,a1.h2."),
    ] = None,
    inputs: Annotated[int, inputs_option()] = 100,
    seed: Annotated[int, seed_option("Of the inputs.")] = 0,
    metric: Annotated[
        EffectMetric, typer.Option(help="Share of changed answers, or KL divergence.")
    ] = "flips",
    per_position: Annotated[
        bool, typer.Option("--per-position", help="Ablate one position at a time.")
    ] = False,
    mlp_at: MlpOption = "output",
    variant: VariantOption = None,
    zoo: ZooOption = None,
    compiled: CompiledOption = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    figure: Annotated[
        FigureName | None, typer.Option(help="What is drawn; by default what suits the effects.")
    ] = None,
    files: FileOptions,
    form: FormatOption = "table",
) -> None:
    """Measure how much each node or edge matters: the effect of ablating it, at several scales.

    Prints a table, and writes tables and figures by their endings: --save effects.html.
    """
    import pandas as pd

    from knowncircuits.evaluation.effects.causal import causal_effects, default_scales
    from knowncircuits.evaluation.figures.files import draw_effects

    usual = default_scales(granularity, per_position)
    chosen = usual if scales is None else parse_scales(scales)
    subject, name = load_chosen(case, variant, zoo, compiled=compiled, model=model, device=device)
    files.check()
    frames, kinds = [], ablation or ["resample"]
    with show_progress("effects", len(kinds)) as shown:
        for kind in kinds:
            with part(f"{name}: {kind}"):
                frame = causal_effects(
                    subject,
                    ablation=kind,
                    scales=chosen,
                    granularity=granularity,
                    nodes=nodes and [name.strip() for name in nodes.split(",")],
                    n_inputs=inputs,
                    seed=seed,
                    metric=metric,
                    per_position=per_position,
                    mlp_at=mlp_at,
                    name=name,
                )
            frames.append(frame)
            shown.advance()
    table = pd.concat(frames, ignore_index=True)
    drawn = files.draw(lambda: draw_effects(table, subject.circuit, figure, theme=files.theme))
    to = Output(form)
    to.show(_effects_table(table), data=table)
    files.write(table, drawn, to)


@grouped
def realism(
    case: CaseArgument,
    *,
    variant: VariantOption = None,
    zoo: ZooOption = None,
    model: ModelOption = None,
    natural: Annotated[
        Path | None,
        typer.Option(
            parser=to_path,
            help="Folder of the natural model, used if it is there; by default natural/CASE.",
        ),
    ] = None,
    option: Annotated[
        list[str] | None, setting_option("Set a field of its TrainingConfig, as optimizer=adam")
    ] = None,
    ablation: AblationOption = None,
    scales: Annotated[
        str | None, typer.Option(help="Numbers with commas; by default those of `effects`.")
    ] = None,
    inputs: Annotated[
        int, inputs_option("Inputs for effects, which are measured on all pairs of them.")
    ] = 100,
    pairs: Annotated[int, pairs_option("Pairs for accuracies.")] = 1_000,
    seed: Annotated[int, seed_option("Seed of inputs and pairs.")] = 0,
    mlp_at: MlpOption = "post",
    device: DeviceOption = "cpu",
    files: FileOptions,
    form: FormatOption = "table",
) -> None:
    """Compare a trained model with a natural one, which learns the same answers freely.

    The natural model has the same sizes, initial weights and settings, but is trained for behaviour
    alone. Compared are accuracy with the rest of the model ablated, weight norms and node effects;
    figures show the effects side by side.
    """
    from knowncircuits.evaluation.effects.causal import SCALES
    from knowncircuits.evaluation.effects.natural import natural_config, natural_model
    from knowncircuits.evaluation.effects.realism import effects_of
    from knowncircuits.evaluation.effects.realism import realism as compare_with_natural
    from knowncircuits.evaluation.figures.curves import effects_figure

    chosen = SCALES if scales is None else parse_scales(scales)
    trained, _ = load_chosen(case, variant, zoo, model=model, device=device)
    folder, to = natural or Path("natural") / case, Output(form)
    config = natural_config(trained, **parse_options(option))
    files.check()

    def say(found: Trained) -> None:
        to.say(f"natural model: {found.training['steps']} steps, in {folder}")

    with show_progress("realism"):
        table = compare_with_natural(
            trained,
            natural_model(trained, folder, config, on_trained=say),
            ablations=ablation or ["resample"],
            scales=chosen,
            n_inputs=inputs,
            n_pairs=pairs,
            seed=seed,
            mlp_at=mlp_at,
        )
    to.show(*_realism_tables(table), data=table)
    title = f"Causal effects in {case}, trained with its circuit and naturally"
    drawn = files.draw(lambda: effects_figure(effects_of(table), theme=files.theme, title=title))
    files.write(table, drawn, to)


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
