"""Methods side by side: their curves, every case, what they give to which edges, what they cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from knowncircuits.circuit import Label
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.comparison.mean_curves import mean_curves
from knowncircuits.evaluation.comparison.summary import Summary
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.method_lines import method_lines
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.evaluation.runs.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

BINS = 100  # of a method's scores, from 0 to its highest


def curves_figure(
    results: Sequence[Result], summary: Summary, resolution: float = RESOLUTION
) -> go.Figure:
    """Mean ROC and precision-recall curve of each method, the best first in the legend.

    Args:
        results: of which those on the summary's cases are drawn.
        summary: says which cases and in what order the methods are.
        resolution: see `score`.
    """
    from plotly.subplots import make_subplots

    curves = mean_curves(filter(summary.covers, results), resolution=resolution)
    figure = make_subplots(1, 2, subplot_titles=["ROC", "precision and recall"])
    for method, line in method_lines(summary.table["method"].tolist()).items():
        curve = curves[curves["method"] == method]
        name = {"name": method, "legendgroup": method, "line": line, "mode": "lines"}
        rate = "<b>%{fullData.name}</b>: %{y:.3f} at %{x:.3f}<extra></extra>"
        figure.add_scatter(
            x=curve["at"], y=curve["recall"], row=1, col=1, hovertemplate=rate, **name
        )
        figure.add_scatter(
            x=curve["at"],
            y=curve["precision"],
            row=1,
            col=2,
            showlegend=False,
            hovertemplate=rate,
            **name,
        )
    figure.update_xaxes(title="false positive rate", range=[-0.01, 1.01], row=1, col=1)
    figure.update_yaxes(title="true positive rate", range=[-0.02, 1.02], row=1, col=1)
    figure.update_xaxes(title="recall", range=[-0.01, 1.01], row=1, col=2)
    figure.update_yaxes(title="precision", range=[-0.02, 1.02], row=1, col=2)
    small = f"mean over {_cases(summary)}; controls are grey"
    return look.dress(figure, "ROC and precision-recall curves", small, height=560, width=1000)


def cases_figure(summary: Summary) -> go.Figure:
    """AUROC of every method on every case, cases that are hard for all on top."""
    import plotly.graph_objects as go

    methods = summary.table["method"].tolist()
    means = summary.means[methods]
    judges = [m for m in methods if m not in CONTROLS] or methods
    order = means[judges].mean(axis=1).sort_values(ascending=False, kind="stable")
    means = means.loc[order.index]
    low = math.floor(10 * min(0.5, float(means.to_numpy().min()))) / 10
    figure = go.Figure(
        go.Heatmap(
            z=means.to_numpy(),
            x=methods,
            y=means.index.tolist(),
            zmin=low,
            zmax=1,
            colorscale=look.plotly_scale(look.THEMES["default"]),
            text=[[_short(value) for value in row] for row in means.to_numpy()],
            texttemplate="%{text}",
            textfont={"size": 10},
            hovertemplate="<b>%{x}</b> on %{y}: %{z:.3f}<extra></extra>",
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "AUROC"}, "thickness": 14, "outlinewidth": 0},
        )
    )
    figure.update_xaxes(tickangle=-40, side="bottom", showgrid=False)
    figure.update_yaxes(showgrid=False, ticksuffix=" ")
    small = "mean over models and draws of pairs; hard cases on top, good methods to the left"
    height = 220 + 18 * len(means)
    width = min(1400, 340 + 52 * len(methods))
    return look.dress(
        figure,
        "AUROC by case",
        small,
        height=height,
        width=width,
        margin={"l": 10, "b": 110, "t": 80},
    )


def strips_figure(results: Sequence[Result], summary: Summary) -> go.Figure:
    """What each method gives to edges in and out of the circuit, as a share of its highest score.

    A dot stands for edges of all models that lie within a hundredth of each other; its area is the
    share of them among all of their kind.
    """
    import plotly.graph_objects as go

    methods = [m for m in summary.table["method"] if m not in CONTROLS]
    chosen = [r for r in filter(summary.covers, results) if r.label in methods]
    colours = look.THEMES["default"].status
    figure = go.Figure()
    for label, status, shift in ((Label.IN, "in", 0.17), (Label.OUT, "out", -0.17)):
        xs, ys, sizes, texts = [], [], [], []
        for i, method in enumerate(methods):
            counts = _bins([r for r in chosen if r.label == method], label)
            total = sum(counts.values())
            for place, n in sorted(counts.items()):
                xs.append(place / BINS)
                ys.append(len(methods) - i + shift)
                sizes.append(3 + 22 * math.sqrt(n / total))
                texts.append(f"{method}: {n} of {total} edges, {look.WORDS[status]}")
        marker = {
            "size": sizes,
            "color": colours[status],
            "symbol": look.SYMBOLS[status],
            "opacity": 0.75,
            "line": {"color": colours[status], "width": 1},
        }
        figure.add_scatter(
            x=xs,
            y=ys,
            mode="markers",
            marker=marker,
            name=look.WORDS[status],
            text=texts,
            hovertemplate="%{text}, at %{x:.2f}<extra></extra>",
        )
    ticks = {"tickvals": list(range(len(methods), 0, -1)), "ticktext": methods}
    figure.update_yaxes(showgrid=False, zeroline=False, ticksuffix=" ", **ticks)
    figure.update_xaxes(title="score as a share of the highest in its model", range=[-0.03, 1.03])
    small = f"all edges of {_cases(summary)} that are determined; a dot's area: share of its kind"
    height = 170 + 46 * max(1, len(methods))
    return look.dress(
        figure,
        "Scores of edges in and out of the circuit",
        small,
        height=height,
        width=900,
        legend_at=64,
        margin={"l": 10, "t": 110},
    )


def cost_figure(summary: Summary) -> go.Figure:
    """AUROC, with its interval over cases, against forward and backward passes for each pair."""
    import plotly.graph_objects as go

    rows = summary.table.assign(
        passes=summary.table["forward_passes"] + summary.table["backward_passes"]
    )
    rows = rows[rows["passes"] > 0].sort_values("passes", kind="stable")
    lines = method_lines(summary.table["method"].tolist())
    figure = go.Figure()
    for i, row in enumerate(rows.to_dict("records")):
        method = row["method"]
        figure.add_scatter(
            x=[row["passes"]],
            y=[row["auroc"]],
            mode="markers+text",
            text=[method],
            # Methods of like cost lie side by side; their names must not.
            textposition=("bottom left", "top center", "bottom right")[i % 3],
            cliponaxis=False,
            marker={"size": 10, "color": lines[method]["color"]},
            error_y={
                "array": [row["auroc_high"] - row["auroc"]],
                "arrayminus": [row["auroc"] - row["auroc_low"]],
                "visible": bool(row["auroc_low"] == row["auroc_low"]),
                "thickness": 1.2,
                "width": 4,
            },
            name=method,
            showlegend=False,
            hovertemplate=f"<b>{method}</b>: AUROC {row['auroc']:.3f}"
            f"{_between(row['auroc_low'], row['auroc_high'])}, {row['forward_passes']:.0f} "
            f"forward and {row['backward_passes']:.0f} backward passes for each pair, "
            f"{row['seconds']:.2f} s a model<extra></extra>",
        )
    figure.update_xaxes(type="log", title="forward and backward passes for each pair", dtick=1)
    figure.update_yaxes(title="AUROC")
    sure = (
        "95% intervals over cases" if rows["auroc_low"].notna().any() else "too few for intervals"
    )
    small = f"mean over {_cases(summary)}, {sure}; a backward pass counts as one"
    return look.dress(figure, "What a method finds, and its cost", small, height=480, width=900)


def _short(value: float) -> str:
    """Three digits; 1 is only what rounds to no less."""
    return f"{value:.3f}".lstrip("0").replace("1.000", "1")


def _between(low: float, high: float) -> str:
    """An interval in words; nothing where there is none."""
    return "" if math.isnan(low) else f" ({low:.3f} to {high:.3f})"


def _cases(summary: Summary) -> str:
    return f"{summary.n_cases} {summary.suite} cases"


def _bins(results: Iterable[Result], label: Label) -> Counter[int]:
    """How many edges of a label lie in each bin of their model's scores."""
    counts: Counter[int] = Counter()
    for result in results:
        ranks = result.scores.ranking
        highest = float(ranks.max())
        shares = ranks / highest if highest > 0 else np.zeros_like(ranks)
        chosen = shares[result.circuit.labels == label].clip(0, 1)
        counts.update((chosen * BINS).round().astype(int).tolist())
    return counts
