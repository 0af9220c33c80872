"""Position-aware edge attribution patching: what every edge does at each position."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.gradients import (
    GradientsAt,
    default_run,
    mask_gradients,
    seen_from,
)
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.scoring.scores import over_positions
from knowncircuits.evaluation.task import Task

Mean = Literal["signed", "sizes"]


def peap(
    task: Task,
    *,
    mean: Mean = "signed",
    gradients_at: GradientsAt | None = None,
    batch_size: Count = 64,
) -> Attribution:
    """Gradient times difference at each position, not summed over positions.

    Haklay, Orgad, Bau, Mueller and Belinkov (2025), "Position-aware automatic circuit discovery".
    In a sum over positions, effects of opposite signs cancel, and many faint ones outweigh a
    strong one. Here an edge has a score at each position, with its sign: what `eap` says of it
    there. Ranks by absolute values, and a whole edge by the sum of those.

    The authors sum or average scores over spans of tokens that play one part in inputs of several
    lengths (a *schema*). Inputs of a task have one length, and each position is a span of its own,
    of which the sum and the average are one. Beside these edges they score *crossing* ones, inside
    a head: from its key or value at one position, or from its query as that position sees it, to
    what it writes at another. Here a head is one node, whose inputs alone are told apart, and
    crossing edges are no edges of the graph: they are left out. Gradients are taken as for `eap`.

    Args:
        task: what to look at.
        mean: `signed`, the mean of scores over pairs, as the authors' circuits are of; `sizes`,
            that of their absolute values, which their code keeps beside it.
        gradients_at: `clean`, as the authors, or `corrupted`; by default as the metric allows.
        batch_size: pairs at a time.

    Cost: 2 forward passes and 1 backward pass for each pair; memory for a number of each edge,
    position and, with `sizes`, pair of a batch.

    Raises MethodError for gradients of a divergence at the clean run.
    """
    at = default_run(task, gradients_at)
    found = first_order_by_position(task, at, batch_size, mean)
    values = over_positions(found, "absolute")
    passes = 2 * task.n_pairs, task.n_pairs
    return Attribution(values, *passes, {"at": at}, by_position=found)


def first_order_by_position(
    task: Task, at: GradientsAt, batch_size: int, mean: Mean = "signed"
) -> Float[np.ndarray, "edge pos"]:
    """`first_order_effects` at each position, of which they are the sums."""
    shape = task.graph.n_edges, task.clean.shape[1]
    total = torch.zeros(shape, dtype=torch.float64, device=task.clean.device)
    for pairs in batches(task.n_pairs, batch_size, task.clean.device):
        tokens, other, sign = seen_from(task, at, pairs)
        mask = other.new_zeros(1 if mean == "signed" else len(pairs), *shape)
        found = sign * mask_gradients(task, tokens, other, mask, pairs).double()
        total += found[0] if mean == "signed" else found.abs().sum(0)
    return (total / task.n_pairs).cpu().numpy()
