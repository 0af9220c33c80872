"""Head by position: what a head's part in one position alone does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.components import (
    VIEWS,
    WORDS,
    about,
    diverging_axis,
    furthest,
    number_column,
    panels,
    views_of,
    with_view,
)
from knowncircuits.evaluation.figures.heads import hover_text

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

ROW, COLUMN, LEAST = 22, 30, 170  # pixels of a cell, and of a panel
MOST = 24  # heads


def head_positions_figure(
    frame: pd.DataFrame,
    *,
    column: str | None = None,
    tokens: Sequence[str] | None = None,
    n: int = MOST,
    theme: str = "default",
    title: str = "",
) -> go.Figure:
    """A number of heads at each position, a panel for each view; early layers at the bottom.

    Args:
        frame: of `act_patch` or `path_patch` with `per_position=True`.
        column: what is drawn; by default lost.
        tokens: what stands at each position; by default their numbers, from 0 at BOS.
        n: of so many heads, those with the numbers farthest from 0.
        theme: `default` or `colourblind`.
        title: by default it names the task.

    Raises:
        ResultError: for a frame without positions or heads, or tokens of another number.
        UnknownNameError: for another theme.
    """
    import plotly.graph_objects as go

    colours = look.load_theme(theme)
    column = number_column(frame, column, "node", "kind", "position")
    heads = frame[frame["kind"] == "head"]
    if heads.empty:
        raise ResultError("expected positions of heads, got a frame of none")
    n_positions = int(heads["position"].max()) + 1
    if tokens is not None and len(tokens) != n_positions:
        raise ResultError(f"expected {n_positions} tokens, got {len(tokens)}")
    sizes = heads[column].abs().groupby(heads["node"], sort=False).max()
    largest = set(sizes.sort_values(ascending=False, kind="stable").index[:n])
    chosen = [node for node in heads["node"].unique() if node in largest]
    views, end = views_of(heads), furthest(heads[column])
    figure = panels(len(views), [VIEWS.get(view, "") for view in views], shared_yaxes=True)
    for i, view in enumerate(views):
        of_view = with_view(heads, view)
        of_view = of_view.assign(hover=[hover_text(r, column) for r in of_view.to_dict("records")])
        numbers, hovers = (
            of_view.pivot(index="node", columns="position", values=what).reindex(chosen)
            for what in (column, "hover")
        )
        figure.add_trace(
            go.Heatmap(
                z=numbers.to_numpy(),
                customdata=hovers.to_numpy(),
                hovertemplate="%{customdata}<extra></extra>",
                coloraxis="coloraxis",
                xgap=1,
                ygap=1,
            ),
            1,
            i + 1,
        )
    figure.update_layout(coloraxis=diverging_axis(colours, column, end))
    names = [str(p) if p else "BOS" for p in range(n_positions)] if tokens is None else [*tokens]
    figure.update_xaxes(tickvals=list(range(n_positions)), ticktext=names, tickangle=-90)
    figure.update_xaxes(showgrid=False, zeroline=False, title="position")
    figure.update_yaxes(tickvals=list(range(len(chosen))), ticktext=chosen, showgrid=False)
    figure.update_yaxes(zeroline=False)
    few = f"; the {len(chosen)} heads of {len(sizes)} farthest from 0" if len(sizes) > n else ""
    return look.dress(
        figure,
        title or f"Heads of {frame.attrs.get('task', 'a model')} by position",
        f"{column}: {WORDS.get(column, column)}{few}; {about(frame)}",
        height=190 + ROW * len(chosen),
        width=max(620, 180 + (max(LEAST, COLUMN * n_positions) + 20) * len(views)),
        margin={"l": 70, "r": 20, "t": 100, "b": 80},
    )
