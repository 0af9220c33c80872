"""Gradients of the metric with respect to how far each edge reads another value.

The gradient of the primitive's mask is, for every edge, the metric's gradient at the edge's
destination times the difference between the alternative and what the source writes. All first-order
methods are that, at one run of the model or at several.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods import streams
from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.task import Task

GradientsAt = streams.GradientsAt
Edges = Float[np.ndarray, " edge"]


def mask_gradients(
    task: Task,
    tokens: Int[Tensor, "row pos"],
    alternative: Float[Tensor, "row source pos d_model"],
    mask: Float[Tensor, "#row edge *pos"],
    pairs: Int[Tensor, " row"],
    rules: BackwardRules = PLAIN,
) -> Float[Tensor, "#row edge *pos"]:
    """The gradient of the metric, at this mask; of its sum over rows if they share one mask."""
    mask = mask.detach().requires_grad_()
    logits = task.model.run(tokens, alternative, mask, rules).logits
    (gradients,) = torch.autograd.grad(task.measure(logits, pairs).sum(), mask)
    return gradients.detach()


def node_gradients(
    task: Task,
    tokens: Int[Tensor, "row pos"],
    alternative: Float[Tensor, "row source pos d_model"],
    pairs: Int[Tensor, " row"],
    rules: BackwardRules = PLAIN,
) -> tuple[Float[Tensor, "row edge"], Float[Tensor, "row source pos d_model"]]:
    """`mask_gradients` at a mask of zeros, and the metric's gradient in what each source writes.

    Nothing is read from the alternative there, so the mask's gradient is linear in it: its own
    gradient, over all edges out of a source, is that of what the source writes.
    """
    mask = alternative.new_zeros(len(tokens), task.graph.n_edges).requires_grad_()
    alternative = alternative.detach().requires_grad_()
    logits = task.model.run(tokens, alternative, mask, rules).logits
    metric = task.measure(logits, pairs).sum()
    (edges,) = torch.autograd.grad(metric, mask, create_graph=True)
    (nodes,) = torch.autograd.grad(edges.sum(), alternative)
    return edges.detach(), nodes


def first_order_effects(
    task: Task, at: GradientsAt, batch_size: int, rules: BackwardRules = PLAIN
) -> Edges:
    """Gradients at the clean or at the corrupted run, times the task's differences; mean of pairs.

    To first order, how much the metric grows when an edge reads the alternative; with gradients
    that are handed on by the rules.

    Cost: 2 forward passes and 1 backward pass for each pair (the two unpatched runs are the task's,
    and made once; the third is the one that gradients flow through).
    """
    total = torch.zeros(task.graph.n_edges, dtype=torch.float64, device=task.clean.device)
    if streams.is_large(task):
        for found in streams.first_order(task, at, batch_size, rules):
            total += found.sum(0, dtype=torch.float64)
        return (total / task.n_pairs).cpu().numpy()
    clean = task.clean_run.outputs
    mask = clean.new_zeros(1, task.graph.n_edges)
    for pairs in batches(task.n_pairs, batch_size, clean.device):
        tokens, other, sign = seen_from(task, at, pairs)
        total += sign * mask_gradients(task, tokens, other, mask, pairs, rules)[0].double()
    return (total / task.n_pairs).cpu().numpy()


def first_order_by_pair(
    task: Task, at: GradientsAt, batch_size: int
) -> Float[np.ndarray, "pair edge"]:
    """As `first_order_effects`, which is the mean of these; at the same cost."""
    if streams.is_large(task):
        parts = streams.first_order(task, at, batch_size)
        return torch.cat([part.double() for part in parts]).cpu().numpy()
    found = []
    for pairs in batches(task.n_pairs, batch_size, task.clean.device):
        tokens, other, sign = seen_from(task, at, pairs)
        mask = other.new_zeros(len(pairs), task.graph.n_edges)
        found.append(sign * mask_gradients(task, tokens, other, mask, pairs).double())
    return torch.cat(found).cpu().numpy()


def seen_from(
    task: Task, at: GradientsAt, pairs: Int[Tensor, " row"]
) -> tuple[Int[Tensor, "row pos"], Float[Tensor, "row source pos d_model"], int]:
    """Where gradients are taken: tokens, what masked edges read there, and the direction's sign.

    Seen from the corrupted run the same difference leads the other way, to the clean run where
    patched edges read the corrupted one.
    """
    if at == "clean":
        return task.clean[pairs], task.alternative[pairs], 1
    clean, corrupted = task.clean_run.outputs[pairs], task.corrupted_run.outputs[pairs]
    return task.corrupted[pairs], clean + (corrupted - task.alternative[pairs]), -1


def default_run(task: Task, asked: GradientsAt | None) -> GradientsAt:
    """Where to take gradients: as asked, else at the clean run, or where it has none, the other.

    Raises MethodError for gradients of a divergence at the clean run, where they are zero.
    """
    divergence = task.measured_by.divergence
    if asked == "clean" and divergence:
        raise MethodError(
            f"expected gradients_at='corrupted' with {task.metric}, which is least at the clean "
            "run and has no gradient there, got 'clean'"
        )
    if asked not in (None, "clean", "corrupted"):
        raise MethodError(f"expected gradients_at 'clean' or 'corrupted', got {asked!r}")
    return asked or ("corrupted" if divergence else "clean")
