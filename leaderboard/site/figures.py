"""Plotly figures as data for the page's script; colours are names of the style sheet's variables.

Plotly reads some HTML in texts, so what strangers wrote is escaped for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np

from knowncircuits.evaluation.figures.axis import ScaleAxis
from knowncircuits.evaluation.figures.ends import EndName, Line, end_names
from knowncircuits.evaluation.figures.pictures import HOVER_LIGHTS
from knowncircuits.leaderboard.scoring import RATES
from knowncircuits.leaderboard.site.labels import NARROW, WIDE, place_labels, spans
from knowncircuits.leaderboard.stored_effects import Curves

Figure = dict[str, Any]

STATUS_LOOKS = {
    "in": ("solid", "circle"),
    "out": ("dash", "diamond-open"),
    "undetermined": ("dot", "x-thin-open"),
}
STATUS_WORDS = {"in": "in the circuit", "out": "outside", "undetermined": "undetermined"}
STATUS_SHADES = {
    "in": tuple(f"--in{i}" for i in range(7)),
    "out": tuple(f"--out{i}" for i in range(3)),
    "undetermined": ("--c",),
}
EFFECTS = (-0.04, 1.06)
EFFECTS_HEIGHT = 348.0  # pixels between these


def plot_text(text: str, most: int = 40) -> str:
    """A text for plotly, which reads it as it is."""
    return escape(text if len(text) <= most else text[: most - 1] + "…", quote=False)


def roc_figure(curves: Mapping[str, np.ndarray]) -> Figure:
    """The mean of the cases' ROC curves, and a thin line for each case."""
    x, text = [0.0, *RATES], "%{y:.2f} of true edges<br>%{x:.2f} of others<extra></extra>"
    whole = {case: np.append(0, curve) for case, curve in curves.items()}
    chance: Figure = {"x": [0, 1], "y": [0, 1], "mode": "lines", "hoverinfo": "skip"}
    chance["line"] = {"color": "--soft", "width": 1, "dash": "dot"}
    axes = ("share of other edges above", "share of true edges above")
    return _curves_figure([chance, *_lines(x, whole, text)], axes)


def precision_figure(curves: Mapping[str, np.ndarray]) -> Figure:
    """The mean of the cases' precision at each recall, and a thin line for each case."""
    text = "precision %{y:.2f}<br>at recall %{x:.2f}<extra></extra>"
    return _curves_figure(_lines(RATES, curves, text), ("recall", "precision"))


def _curves_figure(data: list[Figure], axes: tuple[str, str]) -> Figure:
    return {
        "data": data,
        "layout": {
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": {"title": {"text": axes[0]}, "range": [-0.01, 1.01]},
            "yaxis": {"title": {"text": axes[1]}, "range": [-0.01, 1.02]},
        },
    }


def _lines(x: Iterable[float], curves: Mapping[str, np.ndarray], text: str) -> list[Figure]:
    """A thin line for each case, which links its page, and their mean."""
    places = [round(float(value), 3) for value in x]
    thin = [
        _line(places, curve, f"{case}<br>{text}", "--bar", 1.2) | {"meta": f"../cases/{case}.html"}
        for case, curve in sorted(curves.items())
    ]
    mean = np.mean(list(curves.values()), axis=0)
    return [*thin, _line(places, mean, f"mean of {len(curves)} cases<br>{text}", "--dot", 3)]


def _line(x: list[float], y: np.ndarray, text: str, colour: str, width: float) -> Figure:
    return {
        "x": x,
        "y": [round(float(value), 4) for value in y],
        "mode": "lines",
        "line": {"color": colour, "width": width},
        "hovertemplate": text,
    }


def cost_figure(rows: Iterable[Mapping[str, Any]], value: str, name: str) -> Figure | None:
    """A value against passes; None where no ranked method says what it cost."""
    shown = [row for row in rows if counted(row, value)]
    if not shown:
        return None
    few = len(shown) <= 25
    texts = [plot_text(row["title"], 28) for row in shown]
    x_range = spans([math.log10(row["passes"]) for row in shown], 0.16)
    ends = [row[f"{value}{end}"] for row in shown for end in ("", "_low", "_high")]
    y_range = spans([end for end in ends if not math.isnan(end)], 0.06)
    points = [
        (_part(math.log10(row["passes"]), x_range), _part(row[value], y_range)) for row in shown
    ]
    titles = [row["title"][:28] for row in shown]
    placed = {width: place_labels(points, titles, width) for width in (NARROW, WIDE) if few}
    return {
        "data": [
            {
                "x": [round(row["passes"], 4) for row in shown],
                "y": [round(row[value], 4) for row in shown],
                **_labels(texts, placed.get(NARROW)),
                "hovertext": texts,
                "customdata": [f"methods/{row['method']}.html" for row in shown],
                "mode": "markers+text" if few else "markers",
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
                "hovertemplate": "%{hovertext}<br>%{y:.3f}<br>%{x:,} passes<extra></extra>",
            }
        ],
        "layout": {
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": {
                "title": {"text": "passes for each pair of inputs"},
                "type": "log",
                "dtick": 1,
                "range": [round(end, 4) for end in x_range],
            },
            "yaxis": {
                "title": {"text": f"mean {name}"},
                "range": [round(end, 4) for end in y_range],
            },
            "margin": {"l": 60, "r": 24, "t": 28, "b": 52},
        },
        # What takes the place of the first trace's labels in a figure of at least so many pixels.
        "wide": {"from": WIDE + 84, "trace": _labels(texts, placed.get(WIDE))},
    }


def _labels(texts: list[str], places: list[str] | None) -> Figure:
    """Names at their places; all of them where none were chosen, which are shown by hovering."""
    if places is None:
        return {"text": texts, "textposition": "top center"}
    shown = [text if place else "" for text, place in zip(texts, places, strict=True)]
    return {"text": shown, "textposition": [place or "top center" for place in places]}


def counted(row: Mapping[str, Any], value: str) -> bool:
    """Whether a row has a place in the figure of costs: a value, and passes that were counted."""
    return row["passes"] > 0 and not math.isnan(row[value])


def _part(value: float, ends: tuple[float, float]) -> float:
    return (value - ends[0]) / (ends[1] - ends[0])


def _length(value: float) -> float:
    """The length of an interval's arm; 0 where there are too few cases for an interval."""
    return 0.0 if math.isnan(value) else round(value, 4)


def effects_figure(curves: Curves) -> Figure:
    """Effect against scale, a line for each node; axis and names are those of `effects_figure`."""
    axis = ScaleAxis(curves.scales)
    places = [round(axis.place(scale), 4) for scale in curves.scales]
    shades = _shades(curves)
    order = sorted(
        curves.nodes.items(), key=lambda item: list(STATUS_LOOKS)[::-1].index(item[1][0])
    )
    traces, named = [], set()
    for node, (status, effects) in order:
        dash, symbol = STATUS_LOOKS[status]
        traces.append(
            {
                "x": places,
                "y": list(effects),
                "mode": "lines+markers",
                "name": STATUS_WORDS[status],
                "meta": node,
                "legendgroup": status,
                "showlegend": status not in named,
                "line": {
                    "color": shades[node],
                    "width": 2 if status == "in" else 1.4,
                    "dash": dash,
                },
                "marker": {"symbol": symbol, "size": 6, "color": shades[node]},
                "customdata": list(curves.scales),
                "hovertemplate": f"{node}<br>%{{y:.3f}} at k = %{{customdata}}<extra></extra>",
            }
        )
        named.add(status)
    ticks = axis.ticks(0.06)
    low, high = EFFECTS
    lines = [Line(node, status, effects) for node, (status, effects) in curves.nodes.items()]
    names = end_names(lines, low, high, EFFECTS_HEIGHT)
    return {
        "data": traces,
        "layout": {
            "hovermode": "closest",
            "meta": HOVER_LIGHTS,
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "traceorder": "reversed",
            },
            "xaxis": {
                "title": {"text": "scale k"},
                "tickvals": [round(axis.place(tick), 4) for tick in ticks],
                "ticktext": [f"{tick:g}" for tick in ticks],
            },
            "yaxis": {"title": {"text": "effect"}, "range": [low, high]},
            "annotations": [
                _name_beside(name, places[-1], shades[name.line.node] if name.line else "--soft")
                for name in names
            ],
            "margin": {"l": 56, "r": 76, "t": 40, "b": 52},
        },
    }


def _name_beside(name: EndName, x: float, colour: str) -> Figure:
    low, high = EFFECTS
    return {
        "x": x,
        "y": name.end,
        "text": name.text,
        "ax": 16,
        "ay": round((name.end - name.at) / (high - low) * EFFECTS_HEIGHT, 1),
        "xanchor": "left",
        "showarrow": True,
        "arrowhead": 0,
        "arrowwidth": 0.7,
        "arrowcolor": colour,
        "font": {"size": 11, "color": colour},
    }


def _shades(curves: Curves) -> dict[str, str]:
    """The colour of each node: of its status, and within that by its place in the graph."""
    found = {}
    for status, names in STATUS_SHADES.items():
        nodes = [node for node, (its, _) in curves.nodes.items() if its == status]
        for i, node in enumerate(nodes):
            found[node] = names[i * len(names) // len(nodes)]
    return found
