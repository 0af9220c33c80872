"""Masks between keeping and removing by uniform gradient sampling (Li and Janson, 2024).

What a mask that is kept with probability p changes on average has the derivative
L(kept) - L(removed), and that is the mean of the loss's slope over masks from 0 to 1. So masks are
drawn 0 or 1, but uniform in between now and then, the more often the less is decided: with
probability p (1 - p). The slopes at those give the gradient of p.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from knowncircuits.graph import Graph

Rows = Float[Tensor, "row edge"]


def draw_windowed(probabilities: Float[Tensor, " edge"], uniform: Rows) -> Rows:
    """Masks of every row, of probabilities of being kept and uniform noise.

    A mask is 1 where the noise is below a window around its probability, 0 above it, and falls in a
    line within, which is p (1 - p) wide. The gradient to a probability is the mean slope over rows
    whose mask is within times how many rows there are, so that it is the mean slope of a loss that
    is a mean over rows; none where no mask is.
    """
    middle = probabilities.detach()
    window = (middle * (1 - middle)).clamp(min=torch.finfo(middle.dtype).tiny)
    masks = (0.5 - (uniform - middle) / window).clamp(0, 1)
    within: Bool[Tensor, "row edge"] = (masks > 0) & (masks < 1)
    weights = len(masks) * within.to(masks) / within.sum(0).clamp(min=1)  # of the masks' dtype
    return masks + weights * (probabilities - middle)


def heads_and_edges(graph: Graph) -> Bool[Tensor, "head edge"]:
    """Which edges go into or out of which head."""
    heads = [i for i, node in enumerate(graph.sources) if node.kind == "head"]
    nodes = np.arange(len(graph.nodes))
    members = [(graph.source_of_edge == head) | graph.feeding(nodes == head) for head in heads]
    return torch.from_numpy(np.array(members).reshape(len(heads), graph.n_edges))
