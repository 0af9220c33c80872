"""Exact edge activation patching: the effect of every edge, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.methods.parts import parts
from knowncircuits.evaluation.task import Task
from knowncircuits.patching import MaskedPatches, Rows, SinglePatches, single_patches
from knowncircuits.work.progress import reported_parts

By = Literal["noising", "denoising", "max", "sum"]
Effects = Float[np.ndarray, "direction edge"]
LISTED = 2**20  # runs that are listed at a time, or a few more


def exact(task: Task, *, by: By = "noising", batch_size: Count = 1024) -> Attribution:
    """How far the output moves when one edge of the clean run reads the alternative.

    Mean over pairs of the metric; positive where behaviour is lost. The standard that
    approximations are measured by (path patching: Goldowsky-Dill et al., 2023). Ranks by absolute
    values. Edges whose source writes the same either way are not run: their effect is 0.

    Args:
        task: what to look at.
        by: `noising`, as said. `denoising`, the reverse: how far the output comes back when, in
            the corrupted run, one edge reads what its source writes on the clean input. Noising
            finds what is necessary, denoising what is sufficient (Heimersheim and Nanda, 2024, "How
            to use and interpret activation patching"): at an AND the one, at an OR the other. `max`
            or `sum`: of the sizes of both effects.
        batch_size: patched runs at a time, of one pair and one edge each.

    Cost: up to n_pairs * n_edges forward passes in each direction, of which our own models compute
    what is behind the edge.

    Raises MethodError for denoising where patched edges read no other input.
    """
    if by != "noising" and task.ablation != "resample":
        raise MethodError(f"expected the ablation resample to denoise, got {task.ablation}")
    directions = {"noising": [False], "denoising": [True]}.get(by, [False, True])
    sums = torch.zeros(len(directions), task.graph.n_edges, dtype=torch.float64, device="cpu")
    n_passes = 2 * task.n_pairs
    for part in parts(task):
        for denoise, effects in zip(directions, sums, strict=True):
            n_passes += _add_effects(effects, part, denoise, batch_size)
    found: Effects = (sums / task.n_pairs).numpy()
    if len(found) == 1:
        return Attribution(found[0], n_passes)
    sizes = np.abs(found)
    return Attribution(sizes.max(0) if by == "max" else sizes.sum(0), n_passes)


def _add_effects(
    effects: Float[Tensor, " edge"], task: Task, denoise: bool, batch_size: int
) -> int:
    """Add those of all pairs in one direction; returns how many runs that took."""
    graph, tokens, run, alternative = task.graph, task.clean, task.clean_run, task.alternative
    if denoise:
        tokens, run, alternative = task.corrupted, task.corrupted_run, task.clean_run.outputs
    unpatched = run.outputs
    differs = (unpatched != alternative).flatten(2).any(2).cpu().numpy()  # [pair, source]
    n_runs = int(differs.sum(0)[graph.source_of_edge].sum())
    with torch.no_grad():
        patches = single_patches(task.model, tokens, run, alternative, n_rows=batch_size)
        start = task.measure(run.logits, torch.arange(task.n_pairs, device=unpatched.device))
        parts = _patched(patches, differs)
        for edges, pairs, logits in reported_parts(parts, n_runs, lambda p: len(p[0])):
            effect = task.measure(logits, pairs)
            if denoise:  # what is lost without any edge, less what still is
                effect = start[pairs] - effect
            effects.index_add_(0, edges.cpu(), effect.double().cpu())
    return n_runs


def _patched(
    patches: SinglePatches | MaskedPatches, differs: Bool[np.ndarray, "pair source"]
) -> Iterator[tuple[Rows, Rows, Float[Tensor, "row seq d_vocab_out"]]]:
    """Edges, pairs and logits of the runs of all edges, some groups of destinations at a time."""
    graph = patches.graph
    stops = np.array([block.stop for block in graph.blocks])
    rows_before = np.cumsum(differs.sum(0)[graph.source_of_edge])[stops - 1]
    cuts = stops[:-1][np.diff(rows_before // LISTED) > 0]
    for part in np.split(np.arange(graph.n_edges), cuts):
        places, chosen = np.nonzero(differs[:, graph.source_of_edge[part]].T)
        edges, pairs = (torch.from_numpy(x).to(patches.device) for x in (part[places], chosen))
        for rows, logits in patches.edges(edges, pairs):
            yield edges[rows], pairs[rows], logits
