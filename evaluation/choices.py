"""What can be chosen in evaluation; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

MetricName = Literal["kl", "l2", "logit_diff", "prob_diff", "label_loss"]  # of a task
Ablation = Literal["resample", "mean", "zero"]  # what patched edges of a task read
NodeMetric = Literal["logit_diff", "accuracy"]  # of circuits of heads and neurons
PositionClass = Literal["data", "query", "generation"]  # of a prompt
RankBy = Literal["absolute", "signed"]  # what makes an edge high

# A share of the largest score, by default: scores that it does not tell apart are ties. Below it
# lies what rounding adds to effects that are 0.
RESOLUTION = 1e-6

Construction = Literal["top-n", "greedy"]  # how a circuit of some size is made of scores
SizeBy = Literal["nominal", "actual"]  # which size stands for a circuit

Ablated = Literal["node", "head", "edge"]  # one at a time, for its causal effect
EffectMetric = Literal["flips", "kl"]  # how the effect of an ablation is measured
MlpPlace = Literal["output", "post"]  # where an MLP is ablated: what it writes, or its hidden units

FigureName = Literal["curves", "heatmap", "circuit"]  # of effects
# Figures of two modalities.
ModalityFigure = Literal["circuits", "overlap", "interchange", "back-patching", "similarity"]
FigureFormat = Literal["html", "png", "svg", "pdf"]
ThemeName = Literal["default", "colourblind"]

Level = Literal["node", "head", "neuron"]  # of components: what moves from clean to corrupted
# Where components' gradients are taken: at one run, or while inputs, a layer or a component move.
Along = Literal["clean", "corrupted", "inputs", "layer", "alone"]

# What scores that are compared belong to: edges, components, or nodes at each position.
AgreementLevel = Literal["edge", "node", "head", "neuron", "position"]

View = Literal["z", "q", "k", "v", "pattern", "mlp"]  # what of a component is patched
Way = Literal["noise", "denoise"]  # which of two runs is patched with a part of the other
ComponentTool = Literal["act", "path", "direct", "backup", "copy", "attention"]
ComponentFigure = Literal["heads", "positions", "bars"]
