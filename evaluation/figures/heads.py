"""Layer by head: a number of each head as a colour, a panel for each view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.components import (
    VIEWS,
    WORDS,
    Known,
    about,
    diverging_axis,
    furthest,
    marks,
    number_column,
    panels,
    views_of,
    with_view,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

WRITTEN = 64  # heads up to which each cell has its number
CELL, LEAST = 44, 190  # pixels of a cell, and of a panel
SYMBOLS = ("square-open", "circle-open", "diamond-open", "triangle-up-open", "x-thin-open")


def heads_figure(
    frame: pd.DataFrame,
    *,
    column: str | None = None,
    known: Known = None,
    theme: str = "default",
    title: str = "",
) -> go.Figure:
    """A number of every head: layers upwards, heads to the right, a panel for each view.

    Blue is above 0, red below; all panels have one scale, in whose middle 0 is.

    Args:
        frame: of `act_patch` or `path_patch` (not by position), `direct_logits`, `copy_scores` or
            `backup`; its rows of heads.
        column: what is drawn; by default lost, attribution, change or positive.
        known: a circuit, whose parts have signs around them: one for each role, or for all that
            have none, and another for what is undetermined; or nodes by role. Nothing is said of
            truth without.
        theme: `default` or `colourblind`.
        title: by default it names the task.

    Raises:
        ResultError: for a frame of no heads, of positions, or without the column.
        UnknownNameError: for another theme.
    """
    import plotly.graph_objects as go

    colours = look.load_theme(theme)
    column = number_column(frame, column, "node", "kind", "layer", "head")
    heads = frame[frame["kind"] == "head"]
    if heads.empty or "position" in heads:
        what = "positions of heads" if "position" in heads else "no heads"
        raise ResultError(f"expected one number of each head, got a frame of {what}")
    views = views_of(heads)
    n_layers, n_heads = (int(heads[name].max()) + 1 for name in ("layer", "head"))
    end = furthest(heads[column])
    figure = panels(len(views), [VIEWS.get(view, "") for view in views], shared_yaxes=True)
    for i, view in enumerate(views):
        numbers = np.full((n_layers, n_heads), np.nan)
        of_view = with_view(heads, view)
        numbers[of_view["layer"], of_view["head"]] = of_view[column]
        hovers = np.full((n_layers, n_heads), "", dtype=object)
        hovers[of_view["layer"], of_view["head"]] = [
            hover_text(row, column) for row in of_view.to_dict("records")
        ]
        figure.add_trace(
            go.Heatmap(
                z=numbers,
                customdata=hovers,
                hovertemplate="%{customdata}<extra></extra>",
                texttemplate="%{z:.2f}" if numbers.size <= WRITTEN else None,
                textfont={"size": 10},
                coloraxis="coloraxis",
                xgap=1,
                ygap=1,
            ),
            1,
            i + 1,
        )
    figure.update_layout(coloraxis=diverging_axis(colours, column, end))
    cell = max(12, CELL - max(n_layers, n_heads))
    shown = _add_marks(figure, heads, known, views, cell)
    figure.update_xaxes(title="head", dtick=1 if n_heads <= 16 else 4, showgrid=False)
    figure.update_yaxes(dtick=1 if n_layers <= 16 else 4, showgrid=False, zeroline=False)
    figure.update_xaxes(zeroline=False)
    figure.update_yaxes(title="layer", col=1)
    panel = max(LEAST, cell * n_heads)
    small = "; ".join(filter(None, [f"{column}: {WORDS.get(column, column)}", about(frame)]))
    return look.dress(
        figure,
        title or f"Heads of {frame.attrs.get('task', 'a model')}",
        small,
        height=150 + 40 * bool(shown) + max(120, cell * n_layers),
        legend_at=62 if shown else 0,
        width=max(620, 170 + (panel + 20) * len(views)),
        margin={"l": 60, "r": 20, "t": 100 + 40 * bool(shown), "b": 50},
    )


def hover_text(row: Mapping[Any, Any], column: str) -> str:
    """A component with all of its numbers, the drawn one first."""
    names = [column, *(name for name in WORDS if name != column), "negative", "before", "after"]
    numbers = [f"{name} {row[name]:.4g}" for name in names if name in row]
    place = f" at position {row['position']}" if "position" in row else ""
    view = f", {VIEWS[str(row['view'])]}" if "view" in row else ""
    return "<br>".join([f"<b>{row['node']}</b>{view}{place}", *numbers])


def _add_marks(
    figure: go.Figure, heads: pd.DataFrame, known: Known, views: list[str], cell: int
) -> bool:
    """A sign around each cell of which something is known; whether there is any."""
    import plotly.graph_objects as go

    places = heads.drop_duplicates("node").set_index("node")[["layer", "head"]]
    found = marks(heads, known)
    kinds = list(dict.fromkeys(mark.what for mark in found))
    for kind, symbol in zip(kinds, SYMBOLS * len(kinds), strict=False):
        first = True
        for i, view in enumerate(views):
            here = [mark.node for mark in found if mark.what == kind and mark.view == view]
            if not here:
                continue
            figure.add_trace(
                go.Scatter(
                    x=places.loc[here, "head"],
                    y=places.loc[here, "layer"],
                    mode="markers",
                    marker={
                        "symbol": symbol,
                        "size": 0.8 * cell,
                        "color": look.INK,
                        "line": {"width": 2},
                    },
                    name=kind,
                    legendgroup=kind,
                    showlegend=first,
                    hoverinfo="skip",
                ),
                1,
                i + 1,
            )
            first = False
    return bool(found)
