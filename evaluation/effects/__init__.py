"""Causal effects: how often the output changes when a node or an edge is ablated."""

from knowncircuits.evaluation.effects.ablations import ABLATIONS, Ablation, NodeStatistics
from knowncircuits.evaluation.effects.causal import SCALES, causal_effects
from knowncircuits.evaluation.effects.wide import wide_effects

__all__ = [
    "ABLATIONS",
    "SCALES",
    "Ablation",
    "NodeStatistics",
    "causal_effects",
    "wide_effects",
]
