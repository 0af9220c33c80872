"""Gradients integrated on the way from the clean to the corrupted value of the inputs or a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods import streams
from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.gradients import Edges, mask_gradients
from knowncircuits.evaluation.task import Task

Rule = Literal["riemann", "midpoint", "gauss"]
ROOM = 2**25  # numbers in the masks and the outputs of the runs of one batch


def quadrature(
    steps: int, rule: Rule
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """Where on the way from clean (0) to corrupted (1) gradients are taken, and their weights.

    `riemann` is the sum that is published: the corrupted end and equal steps towards the clean one,
    which is left out. `midpoint` errs by steps^-2 where that errs by steps^-1; `gauss`
    (Gauss-Legendre) is exact for polynomials of degree 2 * steps - 1.

    Raises MethodError for fewer than one step, or another rule.
    """
    if steps < 1:
        raise MethodError(f"expected at least one step, got {steps}")
    even = np.full(steps, 1 / steps)
    if rule == "riemann":
        return 1 - np.arange(steps) / steps, even
    if rule == "midpoint":
        return (np.arange(steps) + 0.5) / steps, even
    if rule == "gauss":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return (points + 1) / 2, weights / 2
    raise MethodError(f"expected rule 'riemann', 'midpoint' or 'gauss', got {rule!r}")


def integrate_inputs(task: Task, steps: int, rule: Rule, batch_size: int) -> Edges:
    """For every edge the mean gradient while the embeddings go from clean to the alternative.

    Everything behind the embeddings is computed from them. Steps and pairs share batches.

    Cost: 2 forward passes for each pair; for each pair and step 2 forward passes, the first to see
    what every source writes there, and 1 backward pass. Large models need no first one: `passes`.
    """
    total = torch.zeros(task.graph.n_edges, dtype=torch.float64, device=task.clean.device)
    if streams.is_large(task):
        for found in streams.along_inputs(task, *quadrature(steps, rule), batch_size):
            total += found.sum(0, dtype=torch.float64)
        return (total / task.n_pairs).cpu().numpy()
    for _, weights, gradients in _input_gradients(task, steps, rule, batch_size):
        total += weights @ gradients
    return (total / task.n_pairs).cpu().numpy()


def integrate_inputs_by_pair(
    task: Task, steps: int, rule: Rule, batch_size: int
) -> Float[np.ndarray, "pair edge"]:
    """As `integrate_inputs`, which is the mean of these; at the same cost."""
    if streams.is_large(task):
        parts = streams.along_inputs(task, *quadrature(steps, rule), batch_size)
        return torch.cat([part.double() for part in parts]).cpu().numpy()
    shape, device = (task.n_pairs, task.graph.n_edges), task.clean.device
    found = torch.zeros(shape, dtype=torch.float64, device=device)
    for pairs, weights, gradients in _input_gradients(task, steps, rule, batch_size):
        found.index_add_(0, pairs, weights[:, None] * gradients)
    return found.cpu().numpy()


def integrate_nodes(task: Task, steps: int, rule: Rule, batch_size: int) -> tuple[Edges, int]:
    """For every edge the mean gradient while its source alone goes from clean to the alternative.

    The sum over a node's edges is how much the metric grows when the node is patched, but for the
    error of the quadrature. Nodes, steps and pairs share batches; a node that writes the same
    either way is not run.

    Returns the effects and the number of runs, which is that of backward passes too.
    """
    graph, clean = task.graph, task.clean_run.outputs
    source_of_edge = torch.from_numpy(graph.source_of_edge).to(clean.device)
    moving = (task.differences != 0).flatten(2).any(2).nonzero()  # [(pair, source)]
    shares, weights = _steps(steps, rule, clean)
    total = torch.zeros(graph.n_edges, dtype=torch.float64, device=clean.device)
    n_rows = len(moving) * steps
    room = max(1, ROOM // (graph.n_edges + clean[0].numel()))
    for rows in batches(n_rows, min(batch_size, room), clean.device):
        pairs, sources = moving[rows // steps].unbind(1)
        step = rows % steps
        own = source_of_edge == sources[:, None]
        gradients = mask_gradients(
            task, task.clean[pairs], task.alternative[pairs], shares[step, None] * own, pairs
        )
        total += weights[step] @ (gradients * own).double()
    return (total / task.n_pairs).cpu().numpy(), n_rows


def _input_gradients(
    task: Task, steps: int, rule: Rule, batch_size: int
) -> Iterator[tuple[Int[Tensor, " row"], Float[Tensor, " row"], Float[Tensor, "row edge"]]]:
    """Pairs, weights and gradients on the way of the embeddings to the alternative."""
    graph, clean = task.graph, task.clean_run.outputs
    n_inputs = len(graph.inputs)
    from_inputs = torch.from_numpy(graph.source_of_edge < n_inputs).to(clean.device)
    shares, weights = _steps(steps, rule, clean)
    for rows in batches(task.n_pairs * steps, batch_size, clean.device):
        pairs, step = rows // steps, rows % steps
        tokens, alternative = task.clean[pairs], task.alternative[pairs]
        mask = shares[step, None] * from_inputs
        with torch.no_grad():
            outputs = task.model.run(tokens, alternative, mask).outputs
        # Edges out of the embeddings are on their way already; the others have yet to move at all.
        moved = outputs + task.differences[pairs]
        moved[:, :n_inputs] = alternative[:, :n_inputs]
        gradients = mask_gradients(task, tokens, moved, mask, pairs)
        yield pairs, weights[step], gradients.double()


def _steps(steps: int, rule: Rule, like: Tensor) -> tuple[Tensor, Tensor]:
    shares, weights = (torch.from_numpy(x).to(like.device) for x in quadrature(steps, rule))
    return shares.to(like.dtype), weights


def passes(task: Task, steps: int) -> tuple[int, int]:
    """The forward and backward passes of `integrate_inputs`."""
    forward = steps if streams.is_large(task) else 2 * steps
    return (2 + forward) * task.n_pairs, steps * task.n_pairs
