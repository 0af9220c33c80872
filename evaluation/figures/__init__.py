"""Plotly figures of causal effects. They are returned, never shown; `save_figure` writes them."""

from knowncircuits.evaluation.figures.circuit import circuit_effects_figure
from knowncircuits.evaluation.figures.curves import effects_figure
from knowncircuits.evaluation.figures.files import (
    FigureName,
    check_files,
    draw_effects,
    save_effects,
)
from knowncircuits.evaluation.figures.heatmap import effects_heatmap
from knowncircuits.evaluation.figures.theme import THEMES
from knowncircuits.pictures import save_figure

__all__ = [
    "THEMES",
    "FigureName",
    "check_files",
    "circuit_effects_figure",
    "draw_effects",
    "effects_figure",
    "effects_heatmap",
    "save_effects",
    "save_figure",
]
