"""The command that looks at components: patching of heads and paths, direct effects, copying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cli.groups import FileOptions, grouped
from knowncircuits.cli.layout import Table, frame_table, indexed_table
from knowncircuits.cli.options import (
    CaseArgument,
    CompiledOption,
    DeviceOption,
    FormatOption,
    ModelOption,
    VariantOption,
    ZooOption,
    load_chosen,
    pairs_option,
    seed_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import (
    Ablation,
    ComponentFigure,
    ComponentTool,
    MetricName,
    Way,
)
from knowncircuits.work.progress import part
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import plotly.graph_objects as go

    from knowncircuits.circuit import Circuit
    from knowncircuits.evaluation.components.attending import Attention
    from knowncircuits.evaluation.task import Task


@grouped
def patch(
    case: CaseArgument,
    *,
    tool: Annotated[
        ComponentTool,
        typer.Option(
            help="Activation patching, path patching, direct effects on the logits, those with "
            "nodes ablated, what heads copy, or where they attend."
        ),
    ] = "act",
    view: Annotated[
        list[str] | None,
        typer.Option(
            help="What is patched: z, q, k, v, pattern or mlp; may be repeated. Default: all but "
            "mlp."
        ),
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option(help="Patch only this, or this sender; may be repeated. Default: all heads."),
    ] = None,
    receiver: Annotated[
        list[str] | None,
        typer.Option(help="Where paths lead: logits (default), 'a2.h1<q>', m1; may be repeated."),
    ] = None,
    freeze_mlps: Annotated[
        bool, typer.Option("--freeze-mlps", help="Take only paths that lead through no MLP.")
    ] = False,
    ablated: Annotated[
        list[str] | None, typer.Option(help="For `backup`: a node; may be repeated.")
    ] = None,
    per_position: Annotated[
        bool, typer.Option("--per-position", help="Patch one position at a time.")
    ] = False,
    way: Annotated[
        Way, typer.Option(help="Patch clean runs (noise) or corrupted ones (denoise).")
    ] = "noise",
    pairs: Annotated[int, pairs_option("Clean/corrupted pairs.")] = 100,
    seed: Annotated[int, seed_option("Seed of the pairs.")] = 0,
    metric: Annotated[
        MetricName | None, typer.Option(help="Metric; by default kl, or l2 for numbers.")
    ] = None,
    corruption: Annotated[
        str,
        typer.Option(help="resample, minimal, variable:NAME, on-off, off-on or the case's own."),
    ] = "resample",
    ablation: Annotated[
        Ablation, typer.Option(help="What patched items read instead.")
    ] = "resample",
    variant: VariantOption = None,
    zoo: ZooOption = None,
    compiled: CompiledOption = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    figure: Annotated[
        ComponentFigure | None, typer.Option(help="What to draw; by default what suits the tool.")
    ] = None,
    files: FileOptions,
    form: FormatOption = "table",
) -> None:
    """Patch heads and paths, and look at what heads write and where they attend.

    Prints a table, with AUROC against the known circuit below it, and writes tables and figures by
    their endings: --save patch.html.
    """
    from knowncircuits.evaluation.task import make_task

    if (tool == "backup") != bool(ablated):
        raise InputError("expected --ablated NODE with --tool backup, and only there")
    _check_options(
        tool,
        {
            "--view": bool(view),
            "--node": bool(node),
            "--receiver": bool(receiver),
            "--freeze-mlps": freeze_mlps,
            "--per-position": per_position,
            "--way": way != "noise",
            "--figure": figure is not None,
        },
    )
    files.check()
    subject, name = load_chosen(case, variant, zoo, compiled=compiled, model=model, device=device)
    task = make_task(subject, pairs, seed, metric, corruption, ablation=ablation)
    with show_progress("patch"), part(f"{name}: {tool}"):
        found = _found(
            task,
            tool,
            view=view,
            node=node,
            receiver=receiver,
            freeze_mlps=freeze_mlps,
            ablated=ablated,
            per_position=per_position,
            way=way,
        )
    table = found if tool != "attention" else found.to_frame()
    drawn = files.draw(
        lambda: _figure(found, figure, subject.circuit, files.theme, f"{_TITLES[tool]} of {name}")
    )
    to = Output(form)
    to.show(*_tables(table, subject.circuit, tool), data=table)
    files.write(table, drawn, to)


_TITLES = {
    "act": "Activation patching",
    "path": "Path patching",
    "direct": "Direct effects on the logits",
    "backup": "Direct effects before and after ablation",
    "copy": "Copy scores",
    "attention": "Attention patterns",
}


# The tools that each option is for.
_TOOLS: dict[str, tuple[ComponentTool, ...]] = {
    "--view": ("act",),
    "--node": ("act", "path", "attention"),
    "--receiver": ("path",),
    "--freeze-mlps": ("path",),
    "--per-position": ("act", "path"),
    "--way": ("act", "path"),
    "--figure": ("act", "path", "direct", "backup", "copy"),
}


def _check_options(tool: ComponentTool, given: Mapping[str, bool]) -> None:
    """Raise InputError for an option that the tool does not take."""
    for option, is_given in given.items():
        if is_given and tool not in _TOOLS[option]:
            tools = " or ".join(_TOOLS[option])
            raise InputError(f"expected {option} with --tool {tools}, got --tool {tool}")


def _found(task: Task, tool: ComponentTool, **options: Any) -> Any:
    """What a tool says: a frame, or attention patterns."""
    from knowncircuits.evaluation import components
    from knowncircuits.evaluation.components.views import OF_HEADS

    if tool == "act":
        return components.act_patch(
            task,
            options["view"] or OF_HEADS,
            per_position=options["per_position"],
            direction=options["way"],
            only=options["node"],
        )
    if tool == "path":
        return components.path_patch(
            task,
            options["node"],
            options["receiver"] or ("logits",),
            options["freeze_mlps"],
            per_position=options["per_position"],
            direction=options["way"],
        )
    if tool == "direct":
        return components.direct_logits(task)
    if tool == "backup":
        return components.backup(task, options["ablated"])
    if tool == "copy":
        return components.copy_scores(task)
    return components.attention(task, options["node"])


def _figure(
    found: pd.DataFrame | Attention,
    figure: ComponentFigure | None,
    circuit: Circuit,
    theme: str,
    title: str,
) -> go.Figure:
    """The figure of a name, or what suits what was found."""
    from knowncircuits.evaluation.components.attending import Attention
    from knowncircuits.evaluation.figures.attending import attention_figure
    from knowncircuits.evaluation.figures.component_bars import component_bars
    from knowncircuits.evaluation.figures.head_positions import head_positions_figure
    from knowncircuits.evaluation.figures.heads import heads_figure

    if isinstance(found, Attention):
        return attention_figure(found, theme=theme, title=title)
    usual = "positions" if "position" in found else "heads"
    if "std" in found or (found["kind"] != "head").all():
        usual = "bars"
    if (figure or usual) == "positions":
        return head_positions_figure(found, theme=theme, title=title)
    draw = component_bars if (figure or usual) == "bars" else heads_figure
    # What a head copies is no claim about a circuit.
    return draw(found, known=None if "positive" in found else circuit, theme=theme, title=title)


_COLUMNS = {
    "lost": "share lost",
    "recovered": "share recovered",
    "difference": "change of the value, which both runs share",
}


def _tables(frame: pd.DataFrame, circuit: Circuit, tool: ComponentTool) -> list[Table]:
    """What was found, and how well it tells the known circuit from the rest."""
    from knowncircuits.evaluation.components.views import telling_column
    from knowncircuits.evaluation.figures.components import about

    if tool == "attention":
        wide = frame.pivot(index=["node", "query"], columns="key", values="attention")
        title = f"attention from queries to keys, mean over {frame.attrs['n_pairs']} inputs"
        return [indexed_table(wide.loc[list(frame["node"].unique())], title)]
    title = "; ".join(filter(None, [_TITLES[tool].lower(), about(frame)]))
    if tool not in ("act", "path"):
        shown = frame.drop(columns=["kind", "layer", "head"])
        return [frame_table(shown, title), *_scored(frame, circuit, tool)]
    column = telling_column(frame, _COLUMNS) or "lost"
    keys = ["view", "node"] if "view" in frame else ["node"]
    if "position" in frame:
        wide = frame.pivot(index=keys, columns="position", values=column)
        wide = wide.reindex(frame.set_index(keys).index.unique())
        wide = wide.rename(columns={0: "BOS"})
        title = f"{title}; {_COLUMNS[column]}, by position"
    elif "view" in frame:
        wide = frame.pivot(index="node", columns="view", values=column)
        wide = wide.reindex(index=frame["node"].unique(), columns=frame["view"].unique())
        title = f"{title}; {_COLUMNS[column]}, by view"
    else:
        shares = ["difference"] if column == "difference" else ["lost", "recovered"]
        wide = frame.set_index("node")[["value", *shares]]
    return [indexed_table(wide, title), *_scored(frame, circuit, tool)]


def _scored(frame: pd.DataFrame, circuit: Circuit, tool: ComponentTool) -> list[Table]:
    """AUROC against the circuit, and by role where nodes have some."""
    import pandas as pd

    from knowncircuits.evaluation.components.roles import score_components, score_nodes

    tables = []
    if tool not in ("backup", "copy"):  # what these say is no claim about edges
        scored = score_components(frame, circuit)
        if "view" not in scored:
            scored.insert(0, "of", "nodes")
        tables.append(frame_table(scored, "against the known circuit"))
    frame = frame[~frame["node"].isin(frame.attrs.get("ablated", []))]
    roles: dict[str, list[str]] = {}
    for node, role in circuit.roles.items():
        if node in set(frame["node"]):
            roles.setdefault(role, []).append(node)
    if roles:
        columns = ["positive", "negative"] if tool == "copy" else [None]
        parts = {name or "": score_nodes(frame, roles, column=name) for name in columns}
        by_role = pd.concat(parts, names=["score", None]).reset_index("score")
        if tool != "copy":
            by_role = by_role.drop(columns="score")
        tables.append(frame_table(by_role, "by role"))
    return tables
