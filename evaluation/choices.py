"""What is chosen by name in evaluation; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

MetricName = Literal["kl", "l2", "logit_diff", "prob_diff", "label_loss"]  # of a task
Ablation = Literal["resample", "mean", "zero"]  # what patched edges of a task read
RankBy = Literal["absolute", "signed"]  # what makes an edge high

Construction = Literal["top-n", "greedy"]  # how a circuit of some size is made of scores
SizeBy = Literal["nominal", "actual"]  # which size stands for a circuit

Ablated = Literal["node", "head", "edge"]  # one at a time, for its causal effect
EffectMetric = Literal["flips", "kl"]  # how the effect of an ablation is measured

FigureName = Literal["curves", "heatmap", "circuit"]  # of effects
FigureFormat = Literal["html", "png", "svg", "pdf"]
ThemeName = Literal["default", "colourblind"]
