"""Exact edge activation patching: the effect of every edge, one at a time."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from knowncircuits.evaluation.methods.method import Attribution
from knowncircuits.evaluation.task import Task


def exact(task: Task, *, batch_size: int = 1024) -> Attribution:
    """How far the output moves when one edge of the clean run reads the corrupted input's value.

    Mean over pairs of the metric. The standard that approximations are measured by (path patching:
    Goldowsky-Dill et al., 2023). Edges whose source writes the same on both inputs are not run:
    their effect is 0.

    Args:
        task: what to look at.
        batch_size: patched runs at a time, of one pair and one edge each.

    Cost: up to n_pairs * n_edges forward passes.
    """
    graph, alternative = task.graph, task.corrupted_run.outputs
    clean = task.clean_run.outputs
    differs = (clean != alternative).flatten(2).any(2).cpu().numpy()  # [pair, source]
    # Edge by edge, so that the masks of one batch leave most layers unpatched.
    edges, pairs = np.nonzero(differs[:, graph.source_of_edge].T)
    effects = torch.zeros(graph.n_edges, dtype=torch.float64)
    for start in range(0, len(edges), batch_size):
        edge = torch.from_numpy(edges[start : start + batch_size])
        pair = torch.from_numpy(pairs[start : start + batch_size]).to(clean.device)
        mask = torch.zeros(len(edge), graph.n_edges, dtype=clean.dtype)
        mask[torch.arange(len(edge)), edge] = 1.0
        with torch.no_grad():
            logits = task.model.run(
                task.clean[pair], alternative[pair], mask.to(clean.device)
            ).logits
            effect = task.measure(logits, pair).double().cpu()
        effects.index_add_(0, edge, effect)
    values: Float[np.ndarray, " edge"] = (effects / task.n_pairs).numpy()
    return Attribution(values, forward_passes=2 * task.n_pairs + len(edges))
