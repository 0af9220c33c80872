"""Scores of one method against those of others: a scatter for each, an item for each point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import UnknownNameError
from knowncircuits.evaluation.components.agreement import Agreement
from knowncircuits.evaluation.figures import theme as look

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

COLUMNS = 3  # of scatters at most; four are two by two
SIDE, ACROSS, BELOW = 270, 76, 96  # pixels of a scatter, and between two
LEFT, BOTTOM = 84, 64
TOP, LEGEND = 108, 42  # above, and for the legend where there is one
MARGIN = 0.08  # of the range, around the points
WORDS = {"edge": "edges", "position": "nodes at positions"}


@takes(agreement=Agreement)
def agreement_figure(
    agreement: Agreement, *, against: str | None = None, theme: str = "default", title: str = ""
) -> go.Figure:
    """Draw every other method's scores against those of one; on the dashed line both are equal.

    Above each scatter are Pearson's and Spearman's correlation, and the AUROC where the truth is
    known; colours and symbols are the truth's. Hovering names an item with its scores.

    Args:
        agreement: of `agreement`.
        against: the method on the horizontal axis, by default the first.
        theme: `default` or `colourblind`.
        title: by default it says what is compared.

    Raises UnknownNameError for another method or theme.
    """
    from plotly.subplots import make_subplots

    colours = look.load_theme(theme)
    against = agreement.methods[0] if against is None else against
    if against not in agreement.methods:
        raise UnknownNameError("method", against, agreement.methods)
    others = [method for method in agreement.methods if method != against]
    columns = 2 if len(others) == 4 else min(COLUMNS, len(others))
    rows = -(-len(others) // columns)
    width, height = (n * SIDE + (n - 1) * gap for n, gap in ((columns, ACROSS), (rows, BELOW)))
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[_heading(agreement, against, method) for method in others],
        horizontal_spacing=ACROSS / width,
        vertical_spacing=BELOW / height,
    )
    figure.update_annotations(font={"size": 12}, yshift=6)
    for i, method in enumerate(others):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        figure.add_trace(_equal(agreement.scores[[against, method]]), **place)
        for points in _points(agreement.scores, against, method, colours, legend=not i):
            figure.add_trace(points, **place)
        figure.update_xaxes(title={"text": against, "standoff": 4, "font": {"size": 12}}, **place)
        figure.update_yaxes(title={"text": method, "standoff": 4, "font": {"size": 12}}, **place)
    figure.update_xaxes(zerolinecolor=look.PALE, gridcolor="#f2f2f2", nticks=5)
    figure.update_yaxes(zerolinecolor=look.PALE, gridcolor="#f2f2f2", nticks=5)
    top = TOP + LEGEND * agreement.known
    what = WORDS.get(agreement.level, f"{agreement.level}s")
    return look.dress(
        figure,
        title or f"Scores of {what} in {agreement.task}",
        f"{len(agreement.scores)} {what}, {agreement.metric}; dashed: equal scores",
        height=height + top + BOTTOM,
        legend_at=68,
        width=max(width + LEFT + 30, 560),
        margin={
            "l": LEFT,
            "r": max(30, 560 - width - LEFT),
            "t": top,
            "b": BOTTOM,
        },
        showlegend=agreement.known,
    )


def _heading(agreement: Agreement, against: str, method: str) -> str:
    both, rows = {against, method}, agreement.pairs.to_dict("records")
    row = next(row for row in rows if {row["method"], row["other"]} == both)
    said = [f"r = {_number(row['pearson'])}", f"ρ = {_number(row['spearman'])}"]
    if agreement.known:
        areas = dict(zip(agreement.quality["method"], agreement.quality["auroc"], strict=True))
        said.append(f"AUROC {_number(areas[method])}")
    return f"<b>{method}</b>: {', '.join(said)}"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def _equal(scores: pd.DataFrame) -> go.Scatter:
    """The line on which both scores are equal, as far as there are points."""
    import plotly.graph_objects as go

    low, high = float(scores.min().min()), float(scores.max().max())
    margin = MARGIN * ((high - low) or 1.0)
    ends = [low - margin, high + margin]
    return go.Scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": "#999999", "width": 1, "dash": "dash"},
        hoverinfo="skip",
        showlegend=False,
    )


def _points(
    scores: pd.DataFrame, against: str, method: str, theme: look.Theme, *, legend: bool
) -> list[go.Scatter]:
    """Those of each status, what matters on top."""
    import plotly.graph_objects as go

    traces = []
    for status in look.STATUSES:
        some = scores[scores["status"] == status]
        if some.empty:
            continue
        traces.append(
            go.Scatter(
                x=some[against],
                y=some[method],
                mode="markers",
                name=f"{look.WORDS[status]} ({len(some)})",
                marker={
                    "color": theme.status[status],
                    "symbol": look.SYMBOLS[status],
                    "size": 8,
                    "opacity": 0.85,
                    "line": {"width": 1.2, "color": theme.status[status]},
                },
                text=some["item"],
                hovertemplate=(
                    f"<b>%{{text}}</b>, {look.WORDS[status]}<br>{against}: %{{x:.4g}}"
                    f"<br>{method}: %{{y:.4g}}<extra></extra>"
                ),
                legendgroup=status,
                showlegend=legend,
            )
        )
    return traces
