"""Methods over the hard suite: a radar by tag, and how each responds to every experiment's dial."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knowncircuits.cases.experiments.registry import EXPERIMENTS
from knowncircuits.evaluation.comparison.radar import Radar
from knowncircuits.evaluation.comparison.written import write_all
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.method_lines import method_lines

if TYPE_CHECKING:
    import plotly.graph_objects as go

SCORE = "average precision above chance"
ACROSS = 3  # response curves beside each other
EACH = 230  # pixels, of a row of them


def write_radar(found: Radar, folder: Path, ending: str = ".html") -> list[Path]:
    """Write tables, the radar and the response curves; returns the files.

    Raises ResultError for files that cannot be written, or pictures that cannot be drawn.
    """
    drawn = {"radar": radar_figure(found), "response": response_figure(found)}
    return write_all(folder, found.tables, drawn, ending)


def radar_figure(found: Radar) -> go.Figure:
    """The score of each method by tag, at the angle of the tag; bars where tags are too few."""
    import plotly.graph_objects as go

    tags = found.tags
    names = [str(tag) for tag in tags.columns]
    figure = go.Figure()
    for method, line in method_lines([str(name) for name in tags.index]).items():
        values = tags.loc[method].to_numpy().tolist()
        hover = "<b>%{fullData.name}</b>, %{theta}: %{r:.2f}<extra></extra>"
        if len(names) < 3:
            figure.add_bar(x=names, y=values, name=method, marker={"color": line["color"]})
        else:
            around = {"r": [*values, values[0]], "theta": [*names, names[0]]}
            figure.add_scatterpolar(
                **around, name=method, line=line, mode="lines+markers", hovertemplate=hover
            )
    grid = {"gridcolor": look.PALE, "linecolor": look.PALE}
    upright = {"angle": 90, "tickangle": 90}
    figure.update_polars(
        radialaxis={"range": [0, 1.02], "tickvals": [0.25, 0.5, 0.75, 1], **upright, **grid},
        angularaxis={"direction": "clockwise", "rotation": 90, **grid},
    )
    n = found.experiments.shape[1]
    small = f"{SCORE}, at least 0; means over {n} experiments by tag"
    title = "Methods on the hard suite"
    return look.dress(figure, title, small, height=620, width=860, margin={"t": 110, "l": 60})


def response_figure(found: Radar) -> go.Figure:
    """The score of each method at the levels of each experiment, kinds of pairs apart.

    Where there are several draws of pairs, bars go from the least to the greatest.
    """
    from plotly.subplots import make_subplots

    levels = found.levels
    panels = list(dict.fromkeys(zip(levels["experiment"], levels["pairs"], strict=True)))
    panels.sort(key=lambda panel: list(EXPERIMENTS).index(panel[0]))
    n_rows = math.ceil(len(panels) / ACROSS)
    figure = make_subplots(
        n_rows,
        ACROSS,
        subplot_titles=[f"{name}, {_words(pairs)}" for name, pairs in panels],
        horizontal_spacing=0.06,
        vertical_spacing=90 / (EACH * n_rows + 1),
        shared_yaxes=True,
    )
    lines = method_lines([str(name) for name in found.experiments.index])
    for place, (name, pairs) in enumerate(panels):
        row, column = place // ACROSS + 1, place % ACROSS + 1
        here = levels[(levels["experiment"] == name) & (levels["pairs"] == pairs)]
        order = [str(level) for level in EXPERIMENTS[name].levels]
        for method, line in lines.items():
            points = here[here["method"] == method].set_index("level")
            points = points.loc[[level for level in order if level in points.index]]
            figure.add_scatter(
                x=points.index.tolist(),
                y=points["score"],
                error_y=_bars(points) if (points["most"] > points["least"]).any() else None,
                name=method,
                legendgroup=method,
                showlegend=place == 0,
                line=line,
                mode="lines+markers",
                hovertemplate="<b>%{fullData.name}</b> at %{x}: %{y:.2f}<extra></extra>",
                row=row,
                col=column,
            )
        figure.update_xaxes(
            title={"text": EXPERIMENTS[name].dial, "standoff": 4, "font": {"size": 11}},
            type="category",
            row=row,
            col=column,
        )
    figure.update_yaxes(range=[-0.05, 1.08], gridcolor=look.PALE, zeroline=False)
    figure.update_annotations(font={"size": 12})
    return look.dress(
        figure,
        "Response of methods to what makes circuits hard",
        f"{SCORE}, at least 0; harder to the right",
        height=170 + EACH * n_rows,
        width=1080,
        legend_at=64,
        margin={"t": 140, "l": 50, "r": 20, "b": 50},
    )


def _words(pairs: str) -> str:
    return "random pairs" if pairs == "resample" else f"{pairs} pairs"


def _bars(points: Any) -> dict[str, Any]:
    return {
        "array": points["most"] - points["score"],
        "arrayminus": points["score"] - points["least"],
        "thickness": 1,
        "width": 3,
    }
