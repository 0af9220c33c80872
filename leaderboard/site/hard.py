"""The page of the hard suite: methods by tag, by experiment, and at each level."""

from __future__ import annotations

from typing import Any

import pandas as pd

from knowncircuits.cases.experiments.registry import EXPERIMENTS
from knowncircuits.evaluation.comparison.radar import Radar
from knowncircuits.evaluation.figures.method_lines import method_lines
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.leaderboard.site.figures import Figure, plot_text
from knowncircuits.leaderboard.site.render import Page

SHOWN = 6  # methods that the radar begins with; the others are a click away in its legend
BLACK = "#000000"  # is no colour on a dark page
OF_PAIRS = {"resample": "random pairs"}


def hard_page(found: Radar) -> Page:
    """Tables of scores, and the radar of methods by tag."""
    tags = found.tags.assign(mean=found.means)
    experiments = found.experiments
    context = {
        "n_experiments": experiments.shape[1],
        "n_levels": found.levels[["experiment", "pairs", "level"]].drop_duplicates().shape[0],
        "summaries": [
            _table("By tag: means over experiments", tags),
            _table("By experiment: means over levels and kinds of pairs", experiments),
        ],
        "radar": radar_data(found.tags),
        "experiments": [_experiment(str(name), found) for name in experiments],
    }
    return Page("hard.html", "hard.html", context)


def radar_data(tags: pd.DataFrame) -> Figure:
    """The score of each method at the angle of each tag, as the page's script draws it."""
    names = [str(tag) for tag in tags.columns]
    methods = [str(method) for method in tags.index]
    first = [method for method in methods if method not in CONTROLS][:SHOWN]
    around = pd.concat([tags, tags.iloc[:, :1]], axis=1).round(4)
    traces = [
        {
            "type": "scatterpolar",
            "r": around.loc[method].to_numpy().tolist(),
            "theta": [*names, names[0]],
            "name": plot_text(method),
            "mode": "lines+markers",
            "line": line | ({"color": "--ink"} if line["color"] == BLACK else {}),
            "visible": True if method in first else "legendonly",
            "hovertemplate": f"{plot_text(method)}, %{{theta}}: %{{r:.2f}}<extra></extra>",
        }
        for method, line in method_lines(methods).items()
    ]
    grid = {"gridcolor": "--line", "linecolor": "--line"}
    radial = {"range": [0, 1.02], "tickvals": [0.25, 0.5, 0.75, 1], "angle": 90, "tickangle": 90}
    return {
        "data": traces,
        "layout": {
            "polar": {
                "bgcolor": "rgba(0,0,0,0)",
                "radialaxis": radial | grid,
                "angularaxis": {"direction": "clockwise", "rotation": 90} | grid,
            },
            "margin": {"l": 60, "r": 60, "t": 40, "b": 40},
        },
    }


def _experiment(name: str, found: Radar) -> dict[str, Any]:
    """An experiment's question, and a table of its levels for each kind of pairs."""
    experiment, levels = EXPERIMENTS[name], found.levels
    here = levels[levels["experiment"] == name]
    order = [str(level) for level in experiment.levels]
    tables = []
    for pairs in dict.fromkeys(here["pairs"]):
        of_pairs = here[here["pairs"] == pairs]
        table = of_pairs.pivot(index="method", columns="level", values="score")
        table = table[[level for level in order if level in table]]
        table = table.loc[[method for method in found.experiments.index if method in table.index]]
        tables.append(_table(OF_PAIRS.get(pairs, f"{pairs} pairs"), table))
    return {
        "name": name,
        "question": experiment.question,
        "dial": experiment.dial,
        "tags": experiment.tags,
        "tables": tables,
    }


def _table(title: str, table: pd.DataFrame) -> dict[str, Any]:
    rows = [
        {"method": method, "control": method in CONTROLS, "values": table.loc[method].tolist()}
        for method in table.index
    ]
    return {"title": title, "columns": list(map(str, table.columns)), "rows": rows}
