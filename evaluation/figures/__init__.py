"""Plotly figures of effects, circuits and faithfulness. Nothing is shown: see `save_figure`."""

from knowncircuits.evaluation.figures.circuit import circuit_effects_figure
from knowncircuits.evaluation.figures.curves import effects_figure
from knowncircuits.evaluation.figures.faithfulness import faithfulness_figure
from knowncircuits.evaluation.figures.files import (
    FigureName,
    check_files,
    draw_effects,
    save_effects,
)
from knowncircuits.evaluation.figures.heatmap import effects_heatmap
from knowncircuits.evaluation.figures.pictures import save_figure
from knowncircuits.evaluation.figures.sankey import circuit_sankey
from knowncircuits.evaluation.figures.theme import THEMES

__all__ = [
    "THEMES",
    "FigureName",
    "check_files",
    "circuit_effects_figure",
    "circuit_sankey",
    "draw_effects",
    "effects_figure",
    "effects_heatmap",
    "faithfulness_figure",
    "save_effects",
    "save_figure",
]
