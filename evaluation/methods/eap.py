"""Edge attribution patching: the effect of every edge to first order, from one backward pass."""

from __future__ import annotations

import torch

from knowncircuits.evaluation.methods.method import Attribution
from knowncircuits.evaluation.task import Task


def eap(task: Task, *, batch_size: int = 256) -> Attribution:
    """Gradient of the metric with respect to how far each edge reads the other input's value.

    That is the gradient at an edge's destination times the difference of what its source writes, in
    one backward pass for all edges (Syed, Rager and Conmy, 2023). A divergence from the clean
    output has no gradient at the clean run, where it is least, so the gradient is taken at the
    corrupted run, towards the clean one: a positive score says that restoring the edge brings the
    output back.

    Args:
        task: what to look at.
        batch_size: pairs at a time.

    Cost: 2 forward passes and 1 backward pass for each pair.
    """
    graph, restored = task.graph, task.clean_run.outputs
    total = torch.zeros(graph.n_edges, dtype=torch.float64, device=restored.device)
    for pair in torch.split(torch.arange(task.n_pairs, device=restored.device), batch_size):
        mask = torch.zeros(
            1, graph.n_edges, dtype=restored.dtype, device=restored.device, requires_grad=True
        )
        logits = task.model.run(task.corrupted[pair], restored[pair], mask).logits
        (gradient,) = torch.autograd.grad(task.measure(logits, pair).sum(), mask)
        total -= gradient[0].double()
    return Attribution(
        (total / task.n_pairs).cpu().numpy(),
        forward_passes=2 * task.n_pairs,
        backward_passes=task.n_pairs,
    )
