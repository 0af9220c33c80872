"""Exact edge activation patching: the effect of every edge, one at a time."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task
from knowncircuits.patching import single_patches
from knowncircuits.work.progress import reported_parts


def exact(task: Task, *, denoise: bool = False, batch_size: Count = 1024) -> Attribution:
    """How far the output moves when one edge of the clean run reads the alternative.

    Mean over pairs of the metric; positive where behaviour is lost. The standard that
    approximations are measured by (path patching: Goldowsky-Dill et al., 2023). Ranks by absolute
    values. Edges whose source writes the same either way are not run: their effect is 0.

    Args:
        task: what to look at.
        denoise: the reverse: how far the output comes back when, in the corrupted run, one edge
            reads what its source writes on the clean input. Noising finds what is necessary,
            denoising what is sufficient (Heimersheim and Nanda, 2024, "How to use and interpret
            activation patching").
        batch_size: patched runs at a time, of one pair and one edge each.

    Cost: up to n_pairs * n_edges forward passes, of which our own models compute what is behind
    the edge.

    Raises MethodError for denoising where patched edges read no other input.
    """
    if denoise and task.ablation != "resample":
        raise MethodError(f"expected the ablation resample to denoise, got {task.ablation}")
    graph, tokens, run, alternative = task.graph, task.clean, task.clean_run, task.alternative
    if denoise:
        tokens, run, alternative = task.corrupted, task.corrupted_run, task.clean_run.outputs
    unpatched = run.outputs
    differs = (unpatched != alternative).flatten(2).any(2).cpu().numpy()  # [pair, source]
    places, chosen = np.nonzero(differs[:, graph.source_of_edge].T)
    edges, pairs = (torch.from_numpy(x).to(unpatched.device) for x in (places, chosen))
    effects = torch.zeros(graph.n_edges, dtype=torch.float64, device="cpu")
    with torch.no_grad():
        patches = single_patches(task.model, tokens, run, alternative, n_rows=batch_size)
        start = task.measure(run.logits, torch.arange(task.n_pairs, device=unpatched.device))
        parts = patches.edges(edges, pairs)
        for rows, logits in reported_parts(parts, len(edges), lambda found: len(found[0])):
            effect = task.measure(logits, pairs[rows])
            if denoise:  # what is lost without any edge, less what still is
                effect = start[pairs[rows]] - effect
            effects.index_add_(0, edges[rows].cpu(), effect.double().cpu())
    values: Float[np.ndarray, " edge"] = (effects / task.n_pairs).numpy()
    return Attribution(values, forward_passes=2 * task.n_pairs + len(edges))
