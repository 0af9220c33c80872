"""Bars: the components with the numbers farthest from 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.components import (
    WORDS,
    Known,
    about,
    furthest,
    marks,
    number_column,
)
from knowncircuits.evaluation.figures.heads import hover_text

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ROW = 24  # pixels of a bar
LEAST = 1e-3  # a share of the longest bar: shorter ones are not seen


def component_bars(
    frame: pd.DataFrame,
    *,
    column: str | None = None,
    known: Known = None,
    n: int = 15,
    theme: str = "default",
    title: str = "",
) -> go.Figure:
    """The components with the largest numbers, those farthest from 0 at the top; none that are 0.

    Args:
        frame: of `act_patch`, `path_patch`, `direct_logits`, `copy_scores` or `backup`.
        column: what is drawn; by default lost, attribution, change or positive.
        known: as of `heads_figure`: it is written beside a name.
        n: how many.
        theme: `default` or `colourblind`.
        title: by default it names the task.

    Raises:
        ResultError: for a frame without the column.
        UnknownNameError: for another theme.
    """
    import plotly.graph_objects as go

    colours = look.load_theme(theme)
    column = number_column(frame, column, "node", "kind")
    sizes = frame[column].abs().sort_values(ascending=False, kind="stable")
    order = sizes.index[sizes > LEAST * sizes.iloc[0]][:n]
    if not len(order):
        order = sizes.index[:1]
    rows = frame.loc[order[::-1]].to_dict("records")
    known_of: dict[tuple[str, str], list[str]] = {}
    for mark in marks(frame, known):
        known_of.setdefault((mark.node, mark.view), []).append(mark.what)
    names = []
    for row in rows:
        view, node = str(row.get("view", "")), str(row["node"])
        role = ", ".join(known_of.get((node, view), []))
        place = f" at {row['position']}" if "position" in row else ""
        what = f" {view}" if view not in ("", "mlp") else ""
        names.append(f"{node}{what}{place}" + (f" ({role})" if role else "") + " ")
    errors = {"type": "data", "array": [row["std"] for row in rows]} if "std" in frame else None
    figure = go.Figure(
        go.Bar(
            x=[row[column] for row in rows],
            y=list(range(len(rows))),
            orientation="h",
            marker={
                "color": [(colours.below if row[column] < 0 else colours.above)[2] for row in rows]
            },
            error_x=errors and errors | {"color": "#777777", "thickness": 1, "width": 3},
            customdata=[hover_text(row, column) for row in rows],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.add_vline(0, line={"color": look.INK, "width": 1})
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, showgrid=False)
    figure.update_xaxes(title=f"{column}: {WORDS.get(column, column)}", zeroline=False)
    if not errors:
        end = 1.08 * furthest(row[column] for row in rows)
        low = -end if min(row[column] for row in rows) < 0 else 0
        figure.update_xaxes(range=[low, end])
    more = len(frame) - len(rows)
    rest = f"the {len(rows)} farthest from 0 of {len(frame)}" if more else f"all {len(rows)}"
    bars = "; bars: standard deviation over pairs" if errors else ""
    return look.dress(
        figure,
        title or f"Components of {frame.attrs.get('task', 'a model')}",
        "; ".join(filter(None, [rest + bars, about(frame)])),
        height=150 + ROW * len(rows),
        width=820,
        margin={"l": 30, "r": 30, "t": 80, "b": 60},
        yaxis_automargin=True,
    )
