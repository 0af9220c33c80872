"""Node by position: what a node's effect comes from when it is patched at one position alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.figures import theme as look

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

WRITTEN = 400  # cells up to which each has its number
BLANK = 0.005  # effects below have none, as they would read 0.00
ROW, COLUMN = 24, 56  # pixels of a cell, as far as the page has room
AROUND = 170  # pixels above and below
WIDEST = 900


def effects_heatmap(
    frame: pd.DataFrame,
    *,
    ablation: str | None = None,
    scale: float | None = None,
    theme: str = "default",
    title: str = "",
) -> go.Figure:
    """The effect of each node at each position, by status: nodes of the circuit at the top.

    Among nodes of one status, inputs are at the bottom. Beside a node's name is the sign of its
    status.

    Args:
        frame: of `causal_effects` with `per_position=True`.
        ablation: which one; may be left out where there is one.
        scale: which one; by default 1, or the only one.
        theme: `default` or `colourblind`.
        title: by default it names the model and the ablation.

    Raises:
        ResultError: for a frame that is empty, lacks columns, or has not what is asked for.
        UnknownNameError: for another theme.
    """
    import plotly.graph_objects as go

    colours = look.load_theme(theme)
    key = ("node", "position", "ablation", "scale")
    look.check_frame(frame, "model", *key, "status", "effect")
    frame = look.at_scale(look.only(frame, "ablation", ablation), scale)
    if frame.duplicated(["node", "position"]).any():
        raise ResultError("expected one effect of each node at each position, got several")
    status = frame.drop_duplicates("node").set_index("node")["status"]
    nodes = sorted(status.index, key=lambda node: look.STATUSES.index(status[node]))
    words = frame.assign(
        number=[_number(effect) for effect in frame["effect"]],
        hover=[_hover(row) for row in frame.to_dict("records")],
    )
    effects, numbers, hovers = (
        words.pivot(index="node", columns="position", values=what).loc[nodes]
        for what in ("effect", "number", "hover")
    )
    figure = go.Figure(
        go.Heatmap(
            z=effects.to_numpy(),
            x0=0,
            y0=0,
            text=numbers.to_numpy(),
            texttemplate="%{text}" if effects.size <= WRITTEN else None,
            textfont={"size": 11},
            customdata=hovers.to_numpy(),
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=look.plotly_scale(colours),
            zmin=0,
            zmax=max(1.0, frame["effect"].max()),
            xgap=2,
            ygap=2,
            colorbar=look.colour_bar(),
        )
    )
    figure.update_xaxes(
        title="position at which the node is patched",
        tickvals=list(range(effects.shape[1])),
        ticktext=[_where(position) for position in effects.columns],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        tickvals=list(range(len(nodes))),
        ticktext=[_name(node, status[node], colours) for node in nodes],
        showgrid=False,
        zeroline=False,
    )
    shown = [s for s in reversed(look.STATUSES) if s in set(status)]
    signs = ", ".join(f"{look.SIGNS[s]} {look.WORDS[s]}" for s in shown)
    row = frame.iloc[0]
    title = title or f"Causal effects in {row['model']} by position"
    return look.dress(
        figure,
        title,
        f"{row['ablation']}, scale {row['scale']:g}, one position at a time; {signs}",
        height=AROUND + ROW * len(nodes),
        width=min(WIDEST, max(560, 220 + COLUMN * effects.shape[1])),
        margin={"l": 110, "r": 20, "t": 80, "b": 60},
    )


def _number(effect: float) -> str:
    return "" if abs(effect) < BLANK else f"{effect:.2f}"


def _hover(row: Mapping[Any, Any]) -> str:
    effect = f"effect {row['effect']:.3f} at position {_where(row['position'])}"
    return "<br>".join(filter(None, [look.describe(row), effect, look.count(row)]))


def _where(position: object) -> str:
    return "BOS" if position == 0 else str(position)


def _name(node: str, status: str, theme: look.Theme) -> str:
    return f"{node} <span style='color:{theme.status[status]}'>{look.SIGNS[status]}</span> "
