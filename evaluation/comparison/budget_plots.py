"""What methods find against what they cost: a line for each over numbers of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from knowncircuits.evaluation.comparison.budget import Budget
from knowncircuits.evaluation.comparison.written import write_all
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.method_lines import method_lines

if TYPE_CHECKING:
    import plotly.graph_objects as go


def write_budget(found: Budget, folder: Path, ending: str = ".html") -> list[Path]:
    """Write the table and the figure; returns the files.

    Raises ResultError for files that cannot be written, or pictures that cannot be drawn.
    """
    return write_all(folder, {"budget": found.points}, {"budget": budget_figure(found)}, ending)


def budget_figure(found: Budget) -> go.Figure:
    """Average precision against passes of a model, each method a line over numbers of pairs.

    Points on the Pareto front have a ring, and steps join them. What costs no pass, as controls,
    is a level line at its best. Of the first suite: structural cases where there are some.
    """
    import plotly.graph_objects as go

    suite = found.points["suite"].iloc[0]
    points = found.points[found.points["suite"] == suite]
    figure = go.Figure()
    best = points[points["front"]].sort_values("passes")
    figure.add_scatter(
        x=best["passes"],
        y=best["average_precision"],
        mode="lines",
        line={"color": look.PALE, "width": 6, "shape": "hv"},
        name="front",
        hoverinfo="skip",
    )
    for method, line in method_lines(points["method"].unique().tolist()).items():
        own = points[points["method"] == method]
        if not (own["passes"] > 0).any():
            if (own["passes"] == 0).any():
                figure.add_hline(own["average_precision"].max(), line=line, annotation_text=method)
            continue
        figure.add_scatter(
            x=own["passes"],
            y=own["average_precision"],
            mode="lines+markers",
            line=line,
            marker={
                "size": [11 if ring else 6 for ring in own["front"]],
                "color": line["color"],
                "line": {"color": look.INK, "width": [2 if ring else 0 for ring in own["front"]]},
            },
            name=method,
            customdata=own[["n_pairs", "seconds"]].to_numpy(),
            hovertemplate="<b>%{fullData.name}</b>, %{customdata[0]} pairs: %{y:.3f} for %{x:,.0f} "
            "passes, %{customdata[1]:.2f} s<extra></extra>",
        )
    figure.update_xaxes(type="log", title="forward and backward passes for a model", dtick=1)
    figure.update_yaxes(title="average precision", range=[-0.02, 1.04])
    counts = ", ".join(map(str, sorted(points["n_pairs"].unique())))
    small = f"mean over {points['cases'].iloc[0]} {suite} cases, {counts} pairs; rings: the front"
    return look.dress(figure, "What a method finds, and its cost", small, height=520, width=900)
