"""Effects as files: a table or a figure, by the ending."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from knowncircuits.circuit import Circuit
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.evaluation.choices import FigureName
from knowncircuits.evaluation.figures.circuit import circuit_effects_figure
from knowncircuits.evaluation.figures.curves import effects_figure
from knowncircuits.evaluation.figures.heatmap import effects_heatmap
from knowncircuits.evaluation.figures.pictures import (
    FIGURES,
    check_ending,
    check_targets,
    save_figure,
)
from knowncircuits.files.writing import write_text
from knowncircuits.names import is_edge

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

TABLES = (".csv", ".json")


def draw_effects(
    frame: pd.DataFrame,
    circuit: Circuit | None,
    figure: str | None = None,
    *,
    theme: str = "default",
    title: str = "",
) -> go.Figure:
    """The figure of a name, or the one that suits the frame.

    That is `heatmap` for effects per position, `circuit` for effects of edges at one scale, and
    `curves` for all others.

    Raises:
        ResultError: for a frame that the figure does not take, or `circuit` without a circuit.
        UnknownNameError: for another name or theme.
    """
    if figure is None:
        edges = frame["node"].map(is_edge).all() and circuit is not None
        one = frame["scale"].nunique() == 1 and frame["ablation"].nunique() == 1
        by_edges = "circuit" if edges and one else "curves"
        figure = "heatmap" if "position" in frame else by_edges
    if figure == "heatmap":
        return effects_heatmap(frame, theme=theme, title=title)
    if figure == "circuit":
        if circuit is None:
            raise ResultError("expected a model with a circuit to draw it, got one without")
        return circuit_effects_figure(circuit, frame, theme=theme, title=title)
    if figure == "curves":
        return effects_figure(frame, theme=theme, title=title)
    raise UnknownNameError("figure", figure, get_args(FigureName))


def check_files(paths: Iterable[Path]) -> None:
    """Raise ResultError for a file of another ending, or where none can be written."""
    check_targets(paths, (*TABLES, *FIGURES))


def wants_figure(paths: Iterable[Path]) -> bool:
    """Whether any of the files shows a figure, and not the table."""
    return any(path.suffix not in TABLES for path in paths)


def save_effects(frame: pd.DataFrame, figure: go.Figure | None, path: Path) -> None:
    """Write the table as .csv or .json, or the figure as `save_figure` does; whole or not at all.

    Raises ResultError for another ending, and for files that cannot be written.
    """
    check_ending(path, (*TABLES, *FIGURES))
    if path.suffix == ".csv":
        write_text(path, frame.to_csv(index=False, lineterminator="\n"))
    elif path.suffix == ".json":
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")  # NaN is no JSON
        write_text(path, json.dumps(rows, indent=1, allow_nan=False) + "\n")
    else:
        save_figure(figure, path)
