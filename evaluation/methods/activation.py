"""How large what an edge carries is: no patch, no gradient of the metric."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from knowncircuits.evaluation.methods.method import Attribution
from knowncircuits.evaluation.task import Task

Carried = Literal["difference", "activation"]


def activation(task: Task, *, of: Carried = "difference") -> Attribution:
    """The length of what an edge's source writes, or of how far that is from the alternative.

    A baseline of auto-circuit (Miller, Chughtai and Saunders, 2024, "Transformer circuit evaluation
    metrics are not robust"), there the size of the mean activation. Mean over pairs and positions.
    All edges out of one source have the same score: what reads there, and how, is not looked at.
    Ranks by absolute values.

    It departs from that in two ways. Lengths of vectors are averaged, where the authors average
    numbers with their signs, which may cancel, before they take the size. And by default
    differences count, so that what is the same on both inputs has 0, as with all that patch.

    Args:
        task: what to look at.
        of: `difference`, from the clean output to what a patched edge reads; `activation`, the
            clean output itself.

    Cost: 2 forward passes for each pair.
    """
    carried = task.differences if of == "difference" else task.clean_run.outputs
    lengths = carried.double().norm(dim=-1).mean((0, 2)).cpu().numpy()  # [source]
    values: Float[np.ndarray, " edge"] = lengths[task.graph.source_of_edge]
    return Attribution(values, 2 * task.n_pairs)
