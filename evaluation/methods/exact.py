"""Exact edge activation patching: the effect of every edge, one at a time."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task
from knowncircuits.patching import single_patches
from knowncircuits.work.progress import reported_parts


def exact(task: Task, *, batch_size: Count = 1024) -> Attribution:
    """How far the output moves when one edge of the clean run reads the alternative.

    Mean over pairs of the metric; positive where behaviour is lost. The standard that
    approximations are measured by (path patching: Goldowsky-Dill et al., 2023). Ranks by absolute
    values. Edges whose source writes the same either way are not run: their effect is 0.

    Args:
        task: what to look at.
        batch_size: patched runs at a time, of one pair and one edge each.

    Cost: up to n_pairs * n_edges forward passes, of which our own models compute what is behind
    the edge.
    """
    graph, alternative = task.graph, task.alternative
    clean = task.clean_run.outputs
    differs = (clean != alternative).flatten(2).any(2).cpu().numpy()  # [pair, source]
    places, chosen = np.nonzero(differs[:, graph.source_of_edge].T)
    edges, pairs = (torch.from_numpy(x).to(clean.device) for x in (places, chosen))
    effects = torch.zeros(graph.n_edges, dtype=torch.float64, device="cpu")
    with torch.no_grad():
        patches = single_patches(
            task.model, task.clean, task.clean_run, alternative, n_rows=batch_size
        )
        parts = patches.edges(edges, pairs)
        for rows, logits in reported_parts(parts, len(edges), lambda found: len(found[0])):
            effect = task.measure(logits, pairs[rows]).double().cpu()
            effects.index_add_(0, edges[rows].cpu(), effect)
    values: Float[np.ndarray, " edge"] = (effects / task.n_pairs).numpy()
    return Attribution(values, forward_passes=2 * task.n_pairs + len(edges))
