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
from knowncircuits.evaluation.figures.ends import Line, end_names
from knowncircuits.evaluation.figures.pictures import HOVER_LIGHTS
from knowncircuits.names import is_edge

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MANY = 40  # lines from which on they are thin and have no markers
QUIET = "#777777"  # of what is said of lines without a name
VERTICAL = 0.3  # of the height, between all rows of panels
ASIDE = 20  # pixels from the ends of lines to their names
TOP, BOTTOM = 112, 60  # margins, in pixels
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

    A line for each, of a hue and a dash by status and a shade of its own. Several ablations or
    models become panels with the same axes. Hovering names all lines at a point and, in a page,
    dims the others; the legend shows and hides a status. Beside a panel stand the names of its
    lines, see `end_names`.

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

    key = ["model", "ablation", "node", "scale"]
    look.check_frame(frame, *key, "status", "effect")
    if frame.duplicated(key).any():
        raise ResultError(
            "expected one effect of each node at each scale, got several; effects per position "
            "are drawn by effects_heatmap"
        )
    edges = bool(frame["node"].map(is_edge).all())
    lines = zip(frame["node"], frame["status"], strict=True)
    colours = look.line_colours(lines, look.load_theme(theme))
    panels, axis = _panels(frame), ScaleAxis(frame["scale"])
    n_columns = math.ceil(math.sqrt(len(panels)))
    n_rows = math.ceil(len(panels) / n_columns)
    figure = make_subplots(
        n_rows,
        n_columns,
        shared_yaxes=True,
        horizontal_spacing=0.26 / n_columns if n_columns > 1 else 0,
        vertical_spacing=VERTICAL / n_rows if n_rows > 1 else 0,
        subplot_titles=list(panels) if len(panels) > 1 else None,
    )
    low, high = _range(frame)
    height = 500 if n_rows == 1 else 170 + 300 * n_rows
    panel = (
        (height - TOP - BOTTOM) * (1 - VERTICAL) / n_rows if n_rows > 1 else height - TOP - BOTTOM
    )
    for i, rows in enumerate(panels.values()):
        place = {"row": i // n_columns + 1, "col": i % n_columns + 1}
        for line in _lines(rows, axis, colours):
            figure.add_trace(line, **place)
        for name in end_names(_ends(rows), low, high, panel):
            colour = colours[name.line.node, name.line.status] if name.line else QUIET
            figure.add_annotation(
                x=axis.place(axis.last),
                y=name.end,
                text=name.text,
                ax=ASIDE,
                ay=(name.end - name.at) / (high - low) * panel,
                xanchor="left",
                showarrow=True,
                arrowhead=0,
                arrowwidth=0.7,
                arrowcolor=colour,
                font={"size": 11, "color": colour},
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
        height=height,
        legend_at=66,
        margin={
            "l": 70,
            "r": 150 if n_columns == 1 else 120,
            "t": TOP if len(panels) == 1 else 124,
            "b": BOTTOM,
        },
        hovermode="closest",
        meta=HOVER_LIGHTS,
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
    """The range of effects, at least from 0 to 1, with a margin in which lines are seen."""
    low, high = min(0.0, frame["effect"].min()), max(1.0, frame["effect"].max())
    margin = 0.03 * (high - low)
    return low - margin, high + margin


def _by_node(rows: Rows) -> dict[str, Rows]:
    """Lines in the order in which they are drawn: what matters lies on top."""
    lines = defaultdict(list)
    for row in sorted(rows, key=lambda row: look.STATUSES.index(row["status"])):
        lines[row["node"]].append(row)
    return dict(lines)


def _lines(
    rows: Rows, axis: ScaleAxis, colours: Mapping[tuple[str, str], str]
) -> Iterator[go.Scatter]:
    import plotly.graph_objects as go

    at: dict[tuple[float, float], list[str]] = defaultdict(list)
    for row in rows:
        at[_point(row)].append(row["node"])
    lines = _by_node(rows)
    few = len(lines) < MANY
    for node, line in lines.items():
        status = line[0]["status"]
        colour = colours[node, status]
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
                "color": colour,
                "width": 1.2 if faint else 2,
                "dash": "solid" if faint else look.DASHES[status],
            },
            marker={"symbol": look.SYMBOLS[status], "size": 6, "color": colour}
            | {"line": {"width": 1.5, "color": colour}},
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


def _ends(rows: Rows) -> list[Line]:
    return [
        Line(node, line[0]["status"], [row["effect"] for row in line])
        for node, line in _by_node(rows).items()
    ]


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
    """An entry for each status with the number of its nodes, which shows and hides them.

    It has the look of its lines, and a colour from the middle of theirs.
    """
    import plotly.graph_objects as go

    nodes = frame.groupby("status")["node"].nunique()
    drawn: dict[str, list[Any]] = defaultdict(list)
    for trace in figure.data:
        drawn[trace.legendgroup].append(trace)
    for status in reversed(look.STATUSES):
        if traces := drawn[status]:
            example = traces[len(traces) // 2]
            entry = go.Scatter(
                x=[None],
                y=[None],
                mode=example.mode,
                opacity=example.opacity,
                line=example.line,
                marker=example.marker,
                name=f"{look.WORDS[status]} ({nodes[status]})",
                legendgroup=status,
            )
            figure.add_trace(entry)
