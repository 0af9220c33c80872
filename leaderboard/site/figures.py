"""Plotly figures as data for the page's script; colours are names of the style sheet's variables.

Plotly reads some HTML in texts, so what strangers wrote is escaped for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from knowncircuits.evaluation.figures.axis import ScaleAxis
from knowncircuits.leaderboard.scoring import FALSE_RATES
from knowncircuits.leaderboard.stored_effects import Curves

Figure = dict[str, Any]

STATUS_LOOKS = {
    "in": ("--v", "solid", "circle"),
    "out": ("--focus", "dash", "diamond-open"),
    "undetermined": ("--c", "dot", "x-thin-open"),
}


def plot_text(text: str, most: int = 40) -> str:
    """A text for plotly, which reads it as it is."""
    return escape(text if len(text) <= most else text[: most - 1] + "…", quote=False)


def roc_figure(curves: Mapping[str, np.ndarray]) -> Figure:
    """The mean of the cases' ROC curves, and a thin line for each case."""
    x = [round(float(rate), 3) for rate in FALSE_RATES]
    lines = [_line(x, curve, case, "--bar", 1.2) for case, curve in sorted(curves.items())]
    for line, case in zip(lines, sorted(curves), strict=True):
        line["meta"] = f"../cases/{case}.html"
    mean = np.mean(list(curves.values()), axis=0)
    chance = {"x": [0, 1], "y": [0, 1], "mode": "lines", "hoverinfo": "skip"}
    return {
        "data": [
            chance | {"line": {"color": "--soft", "width": 1, "dash": "dot"}},
            *lines,
            _line(x, mean, f"mean of {len(curves)} cases", "--dot", 3),
        ],
        "layout": {
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": {"title": {"text": "share of other edges above"}, "range": [-0.01, 1.01]},
            "yaxis": {"title": {"text": "share of true edges above"}, "range": [-0.01, 1.02]},
        },
    }


def _line(x: Sequence[float], y: np.ndarray, name: str, colour: str, width: float) -> Figure:
    text = "%{y:.2f} of true edges<br>%{x:.2f} of others<extra></extra>"
    return {
        "x": [0, *x],
        "y": [0, *(round(float(value), 4) for value in y)],
        "mode": "lines",
        "line": {"color": colour, "width": width},
        "hovertemplate": f"{name}<br>{text}",
    }


def cost_figure(rows: Iterable[Mapping[str, Any]], value: str, name: str) -> Figure | None:
    """A value against passes; None where no ranked method says what it cost."""
    shown = [row for row in rows if row["passes"] > 0 and not math.isnan(row[value])]
    if not shown:
        return None
    few = len(shown) <= 25
    return {
        "data": [
            {
                "x": [round(row["passes"], 4) for row in shown],
                "y": [round(row[value], 4) for row in shown],
                "text": [plot_text(row["title"], 28) for row in shown],
                "customdata": [f"methods/{row['method']}.html" for row in shown],
                "mode": "markers+text" if few else "markers",
                "textposition": _positions([row[value] for row in shown]),
                "cliponaxis": False,
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [_length(row[f"{value}_high"] - row[value]) for row in shown],
                    "arrayminus": [_length(row[value] - row[f"{value}_low"]) for row in shown],
                    "color": "--bar",
                    "thickness": 1.5,
                    "width": 0,
                },
                "marker": {"size": 10, "color": "--dot", "opacity": 0.9 if few else 0.6},
                "hovertemplate": "%{text}<br>%{y:.3f}<br>%{x:,} passes<extra></extra>",
            }
        ],
        "layout": {
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": {
                "title": {"text": "passes for each pair of inputs"},
                "type": "log",
                "dtick": 1,
            },
            "yaxis": {"title": {"text": f"mean {name}"}},
            "margin": {"l": 60, "r": 24, "t": 28, "b": 52},
        },
    }


def _length(value: float) -> float:
    """Of an interval's arm; none where there are too few cases for an interval."""
    return 0.0 if math.isnan(value) else round(value, 4)


def _positions(values: Sequence[float]) -> list[str]:
    """Names above and below by turns, so that neighbours in height do not share a place."""
    order = np.argsort(values, kind="stable")
    places = [""] * len(values)
    for turn, i in enumerate(order):
        places[i] = ("top center", "bottom center")[turn % 2]
    return places


def effects_figure(curves: Curves) -> Figure:
    """Effect against scale, a line for each node; the axis is that of `effects_figure`."""
    axis = ScaleAxis(curves.scales)
    places = [round(axis.place(scale), 4) for scale in curves.scales]
    order = sorted(
        curves.nodes.items(), key=lambda item: list(STATUS_LOOKS)[::-1].index(item[1][0])
    )
    traces, named = [], set()
    for node, (status, effects) in order:
        colour, dash, symbol = STATUS_LOOKS[status]
        traces.append(
            {
                "x": places,
                "y": list(effects),
                "mode": "lines+markers",
                "name": {"in": "in the circuit", "out": "outside"}.get(status, status),
                "legendgroup": status,
                "showlegend": status not in named,
                "line": {"color": colour, "width": 2 if status == "in" else 1.4, "dash": dash},
                "marker": {"symbol": symbol, "size": 6, "color": colour},
                "customdata": list(curves.scales),
                "hovertemplate": f"{node}<br>%{{y:.3f}} at k = %{{customdata}}<extra></extra>",
            }
        )
        named.add(status)
    ticks = axis.ticks(0.06)
    return {
        "data": traces,
        "layout": {
            "hovermode": "closest",
            "legend": {"orientation": "h", "y": 1.08, "x": 0, "traceorder": "reversed"},
            "xaxis": {
                "title": {"text": "scale k"},
                "tickvals": [round(axis.place(tick), 4) for tick in ticks],
                "ticktext": [f"{tick:g}" for tick in ticks],
            },
            "yaxis": {"title": {"text": "effect"}, "range": [-0.04, 1.06]},
            "margin": {"l": 56, "r": 24, "t": 40, "b": 52},
        },
    }
