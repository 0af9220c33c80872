"""Effect against scale: a line for each node or edge, a panel for each ablation and model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.axis import ScaleAxis
from knowncircuits.names import is_edge

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MANY = 40  # lines from which on they are thin and have no markers
FLAT = 0.02  # a line outside the circuit that stays below needs no name beside the figure
NEAR = 0.06  # ends of lines so near share a name tag, as a part of the axis
TICK_GAP = 0.035  # between numbers on the axis of scales, as a part of the figure

PANELS = {
    "resample": "resample: k × the source's value",
    "mean": "mean: k × the mean value",
    "zero": "zero: nothing",
    "self-inside": "self, inside the top directions × k",
    "self-outside": "self, outside the top directions × k",
    "resample-inside": "source, inside the top directions × k",
    "resample-outside": "source, outside the top directions × k",
}
Rows = list[dict[str, Any]]


def effects_figure(frame: pd.DataFrame, *, theme: str = "default", title: str = "") -> go.Figure:
    """How effects depend on the scale of what nodes or edges are patched with.

    A line for each, coloured and dashed by status. Several ablations or models become panels with
    the same axes. Hovering names all lines at a point; the legend shows and hides a status. Beside
    a panel are the names of lines that end there.

    Args:
        frame: of `causal_effects`, not per position.
        theme: `default` or `colourblind`.
        title: by default it names the models.

    Raises:
        ResultError: for a frame that is empty, lacks columns or has several effects of one node
            at one scale.
        UnknownNameError: for another theme.
    """
    from plotly.subplots import make_subplots

    colours = look.load_theme(theme).status
    key = ["model", "ablation", "node", "scale"]
    look.check_frame(frame, *key, "status", "effect")
    if frame.duplicated(key).any():
        raise ResultError(
            "expected one effect of each node at each scale, got several; effects per position "
            "are drawn by effects_heatmap"
        )
    edges = bool(frame["node"].map(is_edge).all())
    panels, axis = _panels(frame), ScaleAxis(frame["scale"])
    n_columns = math.ceil(math.sqrt(len(panels)))
    n_rows = math.ceil(len(panels) / n_columns)
    figure = make_subplots(
        n_rows,
        n_columns,
        shared_yaxes=True,
        horizontal_spacing=0.26 / n_columns if n_columns > 1 else 0,
        vertical_spacing=0.3 / n_rows if n_rows > 1 else 0,
        subplot_titles=list(panels) if len(panels) > 1 else None,
    )
    low, high = _range(frame)
    for i, rows in enumerate(panels.values()):
        place = {"row": i // n_columns + 1, "col": i % n_columns + 1}
        for line in _lines(rows, axis, colours):
            figure.add_trace(line, **place)
        most = 1 if edges else 3 if n_columns == 1 else 2
        for y, text in _tags(rows, NEAR * (high - low) * n_rows, colours, most):
            figure.add_annotation(
                x=axis.place(axis.last),
                y=y,
                text=text,
                xanchor="left",
                xshift=8,
                showarrow=False,
                font={"size": 11},
                **place,
            )
    figure.update_annotations(selector={"yanchor": "bottom"}, font={"size": 13}, yshift=4)
    _dress_axes(figure, axis, (low, high), n_columns)
    _dress_legend(figure, frame)
    models = look.few(list(frame["model"].unique()))
    title = title or f"Causal effects of the {'edges' if edges else 'nodes'} of {models}"
    ablation = frame["ablation"].iloc[0]
    small = f"{PANELS.get(ablation, ablation)}; " if frame["ablation"].nunique() == 1 else ""
    return look.dress(
        figure,
        title,
        small + look.effect_text(frame),
        height=500 if n_rows == 1 else 170 + 300 * n_rows,
        legend_at=66,
        margin={
            "l": 70,
            "r": 150 if n_columns == 1 else 120,
            "t": 112 if len(panels) == 1 else 124,
            "b": 60,
        },
        hovermode="closest",
    )


def _panels(frame: pd.DataFrame) -> dict[str, Rows]:
    """Rows by panel: a model and an ablation, named by what there are several of."""
    models, ablations = frame["model"].unique(), frame["ablation"].unique()
    panels = {}
    for model, ablation in product(models, ablations):
        part = frame[(frame["model"] == model) & (frame["ablation"] == ablation)]
        names = [str(model)] if len(models) > 1 else []
        names += [PANELS.get(ablation, ablation)] if len(ablations) > 1 else []
        if len(part):
            panels[": ".join(names)] = part.sort_values("scale", kind="stable").to_dict("records")
    return panels


def _range(frame: pd.DataFrame) -> tuple[float, float]:
    """Of effects, from 0 to 1 at least, with a margin on which lines are seen."""
    low, high = min(0.0, frame["effect"].min()), max(1.0, frame["effect"].max())
    margin = 0.03 * (high - low)
    return low - margin, high + margin


def _by_node(rows: Rows) -> dict[str, Rows]:
    """Lines in the order in which they are drawn: what matters lies on top."""
    lines = defaultdict(list)
    for row in sorted(rows, key=lambda row: look.STATUSES.index(row["status"])):
        lines[row["node"]].append(row)
    return dict(lines)


def _lines(rows: Rows, axis: ScaleAxis, colours: Mapping[str, str]) -> Iterator[go.Scatter]:
    import plotly.graph_objects as go

    at: dict[tuple[float, float], list[str]] = defaultdict(list)
    for row in rows:
        at[_point(row)].append(row["node"])
    lines = _by_node(rows)
    few = len(lines) < MANY
    for node, line in lines.items():
        status = line[0]["status"]
        faint = not few and status != "in"  # and not dashed, since hundreds make a moire
        yield go.Scatter(
            x=[axis.place(row["scale"]) for row in line],
            y=[row["effect"] for row in line],
            mode="lines+markers" if few else "lines",
            name=node,
            legendgroup=status,
            showlegend=False,
            opacity=0.5 if faint else 1,
            line={
                "color": colours[status],
                "width": 1.2 if faint else 2,
                "dash": "solid" if faint else look.DASHES[status],
            },
            marker={"symbol": look.SYMBOLS[status], "size": 6, "color": colours[status]}
            | {"line": {"width": 1.5, "color": colours[status]}},
            text=[_hover(row, [name for name in at[_point(row)] if name != node]) for row in line],
            hovertemplate="%{text}<extra></extra>",
        )


def _point(row: Mapping[str, Any]) -> tuple[float, float]:
    return row["scale"], round(row["effect"], 3)


def _hover(row: Mapping[str, Any], others: list[str]) -> str:
    effect = f"effect {row['effect']:.3f} at scale {row['scale']:g}"
    also = f"also {look.few(others)}" if others else ""
    lines = [look.describe(row), effect, look.count(row), also]
    return "<br>".join(filter(None, lines))


def _tags(
    rows: Rows, near: float, colours: Mapping[str, str], most: int
) -> list[tuple[float, str]]:
    """Names beside the ends of lines; ends that are near each other share a tag of `most` names.

    Lines outside the circuit have one where they are few, and not flat.
    """
    lines = _by_node(rows)
    ends = [
        (line[-1]["effect"], line[-1]["status"], node)
        for node, line in lines.items()
        if line[0]["status"] == "in"
        or (len(lines) < MANY and max(row["effect"] for row in line) > FLAT)
    ]
    groups: list[list[tuple[float, str, str]]] = []
    for end in sorted(ends):
        if groups and end[0] - groups[-1][0][0] < near:
            groups[-1].append(end)
        else:
            groups.append([end])
    return [(_middle(group), _tag(group, colours, most)) for group in groups]


def _middle(group: list[tuple[float, str, str]]) -> float:
    return sum(effect for effect, _, _ in group) / len(group)


def _tag(group: list[tuple[float, str, str]], colours: Mapping[str, str], most: int) -> str:
    group = sorted(group, key=lambda end: -look.STATUSES.index(end[1]))
    names = [f"<span style='color:{colours[s]}'>{node}</span>" for _, s, node in group]
    more = len(names) - most
    return ", ".join(names[:most]) + (f" +{more}" if more > 0 else "")


def _dress_axes(
    figure: go.Figure, axis: ScaleAxis, effects: tuple[float, float], n_columns: int
) -> None:
    ticks = axis.ticks(TICK_GAP * n_columns)
    first, last = axis.place(axis.first), axis.place(axis.last)
    margin = 0.03 * (last - first) or 1.0
    figure.update_xaxes(
        title={"text": "scale k" + (" (1: unscaled)" if n_columns == 1 else ""), "standoff": 6},
        range=[first - margin, last + margin],
        tickangle=0,
        tickvals=[axis.place(scale) for scale in ticks],
        ticktext=[f"{scale:g}" for scale in ticks],
        ticks="outside",
        tickcolor=look.PALE,
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(range=effects, zeroline=False, gridcolor="#eeeeee")
    figure.update_yaxes(title="effect", col=1)
    if axis.first < 1 < axis.last:  # the plain ablation
        figure.add_vline(axis.place(1), line={"color": "#cccccc", "width": 1}, layer="below")


def _dress_legend(figure: go.Figure, frame: pd.DataFrame) -> None:
    """An entry for each status with the number of its nodes, which shows and hides them."""
    import plotly.graph_objects as go

    nodes = frame.groupby("status")["node"].nunique()
    examples = {trace.legendgroup: trace for trace in figure.data}
    for status in reversed(look.STATUSES):
        if status in examples:
            example = examples[status]
            entry = go.Scatter(
                x=[None],
                y=[None],
                mode="lines+markers",
                line=dict(example.line.to_plotly_json(), width=2),
                marker=example.marker,
                name=f"{look.WORDS[status]} ({nodes[status]})",
                legendgroup=status,
            )
            figure.add_trace(entry)
