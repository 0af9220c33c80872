"""Tables and figures of a comparison as files of one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from knowncircuits.evaluation.figures.pictures import save_figure
from knowncircuits.files.writing import write_text

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def write_all(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, go.Figure],
    ending: str = ".html",
) -> list[Path]:
    """Write tables as NAME.csv and figures with the ending; returns the files.

    Several pages share one file of plotly's, which is written beside them.

    Raises ResultError for files that cannot be written, or pictures that cannot be drawn.
    """
    written = []
    for name, table in tables.items():
        written.append(folder / f"{name}.csv")
        write_text(written[-1], table.to_csv(index=False, lineterminator="\n"))
    for name, figure in figures.items():
        written.append(folder / f"{name}{ending}")
        save_figure(figure, written[-1], shared=len(figures) > 1)
    return written
