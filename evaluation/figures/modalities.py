"""What is found of two modalities: circuits by size, overlap, interchange, back-patching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.evaluation.choices import ModalityFigure, PositionClass
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.modalities.back_patching import BackPatching
from knowncircuits.evaluation.modalities.circuits import LINE, first_share
from knowncircuits.evaluation.modalities.study import ModalityStudy

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

COLOURS = ("#0072B2", "#D55E00")  # of the two modalities, or of the two kinds of nodes
DASHES, SYMBOLS = ("solid", "dash"), ("circle", "diamond")
PATTERNS = ("", "/")
CLASSES = get_args(PositionClass)
LINES = {"color": "#999999", "width": 1, "dash": "dot"}
SMALLEST_SHARE = 0.05  # in percent; an axis of logarithms has no 0
CELL = 46  # pixels


@takes(study=ModalityStudy)
def modality_figure(
    study: ModalityStudy, figure: ModalityFigure, *, theme: str = "default", title: str = ""
) -> go.Figure:
    """One of the figures of two modalities.

    Args:
        study: of `study_modalities`.
        figure: `circuits`, faithfulness by share; `overlap`; `interchange`; `back-patching`; or
            `similarity` to the unembedding.
        theme: `default` or `colourblind`.
        title: by default it names what is drawn.

    Raises:
        ResultError: for a figure of circuits where a modality has none.
        UnknownNameError: for another figure or theme.
    """
    colours = look.load_theme(theme)
    if figure not in get_args(ModalityFigure):
        raise UnknownNameError("figure", figure, get_args(ModalityFigure))
    if figure == "circuits":
        return _curves(_there(study.curves, "a modality that is answered"), title)
    if figure == "overlap":
        return _overlap(_there(study.overlap), title)
    if figure == "interchange":
        return _interchange(_there(study.interchange), title)
    if figure == "similarity":
        return _similarity(study.similarity, title)
    return _back_patching(study.back_patching, colours, title)


def modality_table(study: ModalityStudy, figure: ModalityFigure) -> pd.DataFrame:
    """What a figure is drawn of; errors are those of `modality_figure`."""
    frames = {
        "circuits": study.curves,
        "overlap": study.overlap,
        "interchange": study.interchange,
        "back-patching": study.back_patching.to_frame(),
        "similarity": study.similarity,
    }
    if figure not in frames:
        raise UnknownNameError("figure", figure, frames)
    return _there(frames[figure])


def _there(frame: pd.DataFrame | None, what: str = "circuits of both modalities") -> pd.DataFrame:
    if frame is None:
        raise ResultError(f"expected {what} to draw, got none")
    return frame


def _curves(curves: pd.DataFrame, title: str) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    for level in (0, 1):
        figure.add_hline(level, line={"color": "#cccccc", "width": 1}, layer="below")
    figure.add_hline(LINE, line={**LINES, "color": look.INK})
    first = []
    for i, (name, curve) in enumerate(curves.groupby("prompts", sort=False)):
        share = first_share(curve)
        first.append(f"{name} {100 * share:g}%" if share == share else f"{name} never")
        figure.add_trace(
            go.Scatter(
                x=100 * curve["share"].clip(lower=SMALLEST_SHARE / 100),
                y=curve["faithfulness"],
                customdata=curve[["share", "heads", "neurons"]],
                name=str(name),
                mode="lines+markers",
                line={"color": COLOURS[i], "dash": DASHES[i], "width": 2},
                marker={"symbol": SYMBOLS[i], "size": 8},
                hovertemplate=f"<b>{name}</b><br>%{{customdata[0]:.3g}} of the nodes: "
                "%{customdata[1]} heads, %{customdata[2]} neurons<br>f = %{y:.3f}<extra></extra>",
            )
        )
    figure.update_layout(showlegend=True)
    figure.update_xaxes(
        type="log",
        title="heads and neurons at positions in the circuit, % of all",
        tickvals=[SMALLEST_SHARE, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100],
        ticktext=["0", "0.1", "0.5", "1", "2", "5", "10", "20", "50", "100"],
        showgrid=False,
        ticks="outside",
        tickcolor=look.PALE,
    )
    figure.update_yaxes(title="faithfulness f", zeroline=False, gridcolor="#eeeeee")
    return look.dress(
        figure,
        title or "Faithfulness of circuits of heads and neurons",
        f"first share with f of {LINE} or more (dotted): {', '.join(first)}",
        height=460,
        legend_at=66,
        margin={"l": 70, "r": 30, "t": 120, "b": 60},
    )


def _overlap(frame: pd.DataFrame, title: str) -> go.Figure:
    """Bars by class, of heads and of neurons; hatched in the other direction."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_hline(0, line=LINES)
    for i, (kind, of_kind) in enumerate(frame.groupby("kind", sort=False)):
        for j, (direction, rows) in enumerate(of_kind.groupby("direction", sort=False)):
            hover = [
                f"<b>{kind}s, {row['class']}</b>, {direction}<br>overlap {row['overlap']:.3f}, "
                f"by chance {row['baseline']:.3f}<br>{row['mapped']} mapped, {row['other']} there, "
                f"of {row['nodes']}"
                for row in rows.to_dict("records")
            ]
            figure.add_trace(
                _bars(
                    rows["class"].tolist(),
                    rows["normalised"].tolist(),
                    hover,
                    name=f"{kind}s, {direction}".replace("->", "→"),
                    colour=COLOURS[i],
                    pattern=PATTERNS[j],
                )
            )
    figure.update_xaxes(title="positions", ticks="")
    return _barred(
        figure,
        title or "Overlap of two modalities' circuits",
        "intersection over union, 0 as of random circuits of their sizes and 1 the same; "
        "–: no node of either",
        "overlap, normalised",
    )


def _interchange(frame: pd.DataFrame, title: str) -> go.Figure:
    """Bars by class that is the other modality's, for prompts of each."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for level in (0, 1):
        figure.add_hline(level, line=LINES)
    other = frame[(frame["by"] != "random") & (frame["replaced"] != "none")]
    for i, (name, rows) in enumerate(other.groupby("prompts", sort=False)):
        hover = [
            f"<b>{name}</b> with the {row['replaced']} part of {row['by']}<br>"
            f"f = {row['faithfulness']:.3f}; its own {row['skyline']:.3f}, "
            f"random {row['base']:.3f}"
            for row in rows.to_dict("records")
        ]
        figure.add_trace(
            _bars(
                rows["replaced"].tolist(),
                rows["normalised"].tolist(),
                hover,
                name=f"{name} circuit with {rows['by'].iloc[0]}'s part",
                colour=COLOURS[i],
                pattern=PATTERNS[i],
            )
        )
    figure.update_xaxes(title="part that is interchanged", ticks="")
    return _barred(
        figure,
        title or "Faithfulness with a part of the other modality's circuit",
        "0: as with random nodes there; 1: as with the circuit's own",
        "faithfulness, normalised",
    )


def _bars(
    names: Sequence[str],
    values: Sequence[float],
    hover: Sequence[str],
    *,
    name: str,
    colour: str,
    pattern: str,
) -> go.Bar:
    """Bars with their numbers; a dash where there is none."""
    import plotly.graph_objects as go

    return go.Bar(
        x=list(names),
        y=[0.0 if value != value else value for value in values],
        text=["–" if value != value else f"{value + 0.0:.2f}" for value in values],
        textposition="outside",
        textangle=0,
        cliponaxis=False,
        customdata=list(hover),
        hovertemplate="%{customdata}<extra></extra>",
        name=name,
        marker={
            "color": colour,
            "line": {"color": colour, "width": 1},
            "pattern": {"shape": pattern, "fgcolor": colour, "bgcolor": "white", "solidity": 0.4},
        },
    )


def _barred(figure: go.Figure, title: str, small: str, axis: str) -> go.Figure:
    values = [y for trace in figure.data for y in trace.y]
    low, high = min(0.0, *values), max(1.0, *values)
    figure.update_yaxes(
        title=axis,
        range=[low - 0.08 * (high - low), high + 0.12 * (high - low)],
        zeroline=False,
        gridcolor="#eeeeee",
    )
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.08)
    return look.dress(
        figure,
        title,
        small,
        height=460,
        legend_at=66,
        margin={"l": 70, "r": 30, "t": 120, "b": 60},
    )


def _back_patching(found: BackPatching, colours: look.Theme, title: str) -> go.Figure:
    """A map of layers for each window, above one of the control; what was not computed is blank."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    maps: Mapping[str, np.ndarray | None] = {found.name: found.accuracy, "control": found.control}
    shown = {name: values for name, values in maps.items() if values is not None}
    names = [f"{name}, window {window}" for name in shown for window in found.windows]
    n_layers = found.computed.shape[1]
    columns, height = len(found.windows), 110 + (74 + CELL * n_layers) * len(shown)
    figure = make_subplots(
        len(shown),
        columns,
        subplot_titles=names,
        horizontal_spacing=0.1,
        vertical_spacing=74 / height if len(shown) > 1 else 0.0,
    )
    layers = [str(layer) for layer in range(n_layers)]
    for row, values in enumerate(shown.values(), 1):
        for column, by_target in enumerate(values.transpose(0, 2, 1), 1):
            numbers = np.where(np.isnan(by_target), "", np.char.mod("%.2f", by_target))
            figure.add_trace(
                go.Heatmap(
                    x=layers,
                    y=layers,
                    z=by_target,
                    text=numbers,
                    texttemplate="%{text}" if by_target.size <= 400 else None,
                    hovertemplate="%{x} → %{y}: accuracy %{z:.3f}<extra></extra>",
                    hoverongaps=False,
                    colorscale=look.plotly_scale(colours),
                    zmin=0,
                    zmax=1,
                    xgap=2,
                    ygap=2,
                    colorbar={**look.colour_bar(), "title": {"text": "accuracy"}},
                    showscale=(row, column) == (1, 1),
                ),
                row,
                column,
            )
            figure.update_xaxes(
                title="read behind layer" if row == len(shown) else "", row=row, col=column
            )
            figure.update_yaxes(
                title="written behind layer" if column == 1 else "", row=row, col=column
            )
    figure.update_xaxes(type="category", showgrid=False, zeroline=False)
    figure.update_yaxes(type="category", showgrid=False, zeroline=False)
    figure.update_annotations(font={"size": 12, "color": look.INK})
    small = f"unpatched: {found.name} {found.base:.3g}"
    if found.control is not None:
        small += f", control {found.control_base:.3g}"
        if found.gap_closed == found.gap_closed:
            small += f"; gap closed {found.gap_closed:.3g}"
    if found.looped is not None:
        window, source, target = found.looped
        steps = ", ".join(f"{accuracy:.3g}" for accuracy in found.loops)
        small += f"; loops {source} → {target}, window {window}: {steps}"
    return look.dress(
        figure,
        title or f"Accuracy with late {found.name} data put back into earlier layers",
        small,
        height=height,
        width=max(560, 150 + (70 + CELL * n_layers) * columns),
        margin={"l": 80, "r": 30, "t": 100, "b": 60},
    )


def _similarity(frame: pd.DataFrame, title: str) -> go.Figure:
    """A panel for each class of positions, a line for each modality."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(1, len(CLASSES), subplot_titles=CLASSES, shared_yaxes=True)
    for i, (name, of_name) in enumerate(frame.groupby("prompts", sort=False)):
        for column, kind in enumerate(CLASSES, 1):
            line = of_name[of_name["class"] == kind]
            figure.add_trace(
                go.Scatter(
                    x=line["layer"],
                    y=line["similarity"],
                    name=str(name),
                    legendgroup=str(name),
                    showlegend=column == 1,
                    mode="lines+markers",
                    line={"color": COLOURS[i], "dash": DASHES[i], "width": 2},
                    marker={"symbol": SYMBOLS[i], "size": 8},
                    hovertemplate=f"<b>{name}</b>, {kind}<br>behind layer %{{x}}: cosine "
                    "%{y:.3f}<extra></extra>",
                ),
                1,
                column,
            )
    last = int(frame["layer"].max())
    figure.update_xaxes(title="layer", showgrid=False, zeroline=False, dtick=max(1, last // 8))
    figure.update_yaxes(zeroline=False, gridcolor="#eeeeee")
    figure.update_yaxes(title="greatest cosine", col=1)
    figure.update_annotations(font={"size": 12, "color": look.INK})
    return look.dress(
        figure,
        title or "Similarity of the residual stream to the unembedding",
        "cosine with the nearest token's unembedding, mean over prompts and positions",
        height=400,
        legend_at=66,
        margin={"l": 70, "r": 30, "t": 130, "b": 60},
    )
