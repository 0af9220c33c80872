"""Faithfulness against the share of edges: a line for each method."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.faithfulness.runs import by_suite
from knowncircuits.evaluation.figures import theme as look

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

# Okabe and Ito's palette, without the yellow that is lost on white; black is the truth's.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross")
LOWEST, HIGHEST = -1.0, 2.0  # what of f is shown at most
TRUTH = "truth"
HOVER = "%{x:.3g}% of edges: f = %{y:.3f}"


def faithfulness_figure(
    frame: pd.DataFrame, *, theme: str = "default", title: str = ""
) -> go.Figure:
    """Draw f against the share of edges, on a logarithmic axis: macro means over structural cases.

    Where there is none, over what there is.

    Args:
        frame: of `faithfulness_table`; the method `truth` is drawn in black and dashed.
        theme: `default` or `colourblind`, which have the same colours here.
        title: by default it names what is drawn.

    Raises:
        ResultError: for a frame that is empty or lacks columns.
        UnknownNameError: for another theme.
    """
    import plotly.graph_objects as go

    look.load_theme(theme)
    look.expect_frame(frame)
    columns = ["method", "case", "share", "axis", "f"]
    if frame.empty or not {*columns} <= {*frame.columns}:
        raise ResultError(
            f"expected a frame of faithfulness_table with {', '.join(columns)} and at least one "
            f"row, got {len(frame)} rows of {', '.join(map(str, frame.columns))}"
        )
    population, frame = next(iter(by_suite(frame).items()))
    cases = frame.groupby(["method", "case", "share"], sort=False)[["axis", "f"]].mean()
    means = cases.groupby(["method", "share"], sort=False).mean().reset_index()
    figure = go.Figure()
    for level in (0, 1):
        figure.add_hline(level, line={"color": "#cccccc", "width": 1}, layer="below")
    looks = zip(cycle(LINES), cycle(SYMBOLS), cycle(DASHES), strict=False)
    names = sorted(means["method"].unique(), key=lambda name: name == TRUTH)  # on top
    for name, (colour, symbol, dash) in zip(names, looks, strict=False):
        line = means[(means["method"] == name) & (means["axis"] > 0)]
        if name == TRUTH:
            colour, symbol, dash = look.INK, "circle-open", "longdash"
        figure.add_trace(
            go.Scatter(
                x=100 * line["axis"],
                y=line["f"],
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": dash},
                marker={"symbol": symbol, "size": 8},
                hovertemplate=f"<b>{name}</b><br>{HOVER}<extra></extra>",
            )
        )
    shares = 100 * means["axis"][means["axis"] > 0]
    figure.update_xaxes(
        type="log",
        title={"text": "edges in the circuit, % of all", "standoff": 6},
        tickvals=sorted(set(shares.round(3))) if len(set(shares.round(3))) <= 12 else None,
        showgrid=False,
        ticks="outside",
        tickcolor=look.PALE,
    )
    low, high = means["f"].min(), means["f"].max()
    shown = [max(LOWEST, min(0.0, low)) - 0.05, min(HIGHEST, max(1.0, high)) + 0.05]
    figure.update_yaxes(title="faithfulness f", range=shown, zeroline=False, gridcolor="#eeeeee")
    small = f"1: as the whole model; 0: as with every edge patched; mean of {population}"
    if low < LOWEST or high > HIGHEST:
        small += f"; f goes from {low:.3g} to {high:.3g}"
    return look.dress(
        figure,
        title or "Faithfulness of circuits by size",
        small,
        height=500,
        legend_at=66,
        margin={"l": 70, "r": 30, "t": 130, "b": 60},
    )
