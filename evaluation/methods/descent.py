"""Descent on a loss: the loop of all methods that train masks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.evaluation.methods.parts import ROOM
from knowncircuits.evaluation.task import Task
from knowncircuits.work.progress import reported


def descend(
    loss: Callable[[int], Float[Tensor, ""]],
    optimizer: torch.optim.Optimizer,
    steps: int,
    *,
    rate: Callable[[int], float] | None = None,
    shorten: Callable[[], object] | None = None,
) -> None:
    """Take so many steps of an optimizer on a loss.

    Args:
        loss: of each step, by its number from 0.
        optimizer: holds what is trained, and its learning rates.
        steps: how many.
        rate: by what the learning rates are multiplied in each step.
        shorten: gradients that are too long, in place; called before each step.
    """
    groups = optimizer.param_groups
    trained = [parameter for group in groups for parameter in group["params"]]
    rates = [group["lr"] for group in groups]
    for step in reported(range(steps)):
        gradients = torch.autograd.grad(loss(step), trained)
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.grad = gradient
        if shorten:
            shorten()
        if rate:
            for group, full in zip(groups, rates, strict=True):
                group["lr"] = full * rate(step)
        with torch.device("cpu"):  # on which optimizers count their steps
            optimizer.step()


def mean_metric(
    task: Task,
    kept: Float[Tensor, "#row edge"],
    pairs: Int[Tensor, " row"] | None = None,
    alternative: Float[Tensor, "#row source pos d_model"] | None = None,
) -> Float[Tensor, ""]:
    """The metric of runs whose edges read the clean value as far as they are kept, mean over runs.

    Where all pairs share a mask and their runs are large, gradients are found batch by batch.

    Args:
        task: what is run.
        kept: from 0 to 1, of every edge; one row for all runs, or one for each.
        pairs: of each run; by default every pair has one.
        alternative: what is read instead; by default the task's.
    """
    if pairs is None and alternative is None and len(kept) == 1:
        size = max(1, ROOM // task.alternative[0].numel())
        if size < task.n_pairs:
            return _mean_in_parts(task, kept, size)
    clean = task.clean if pairs is None else task.clean[pairs]
    if alternative is None:
        alternative = task.alternative if pairs is None else task.alternative[pairs]
    if pairs is None:
        pairs = torch.arange(task.n_pairs, device=clean.device)
    return _metrics(task, kept, clean, alternative, pairs).mean()


def _mean_in_parts(task: Task, kept: Float[Tensor, "1 edge"], size: int) -> Float[Tensor, ""]:
    """Of so many pairs at a time, whose gradients are found before the next ones are run."""
    fixed = kept.detach()
    mean, gradient = fixed.new_zeros(()), torch.zeros_like(fixed)
    for pairs in torch.split(torch.arange(task.n_pairs, device=fixed.device), size):
        of_part = _sum_and_gradient(task, fixed, pairs)
        for total, found in zip((mean, gradient), of_part, strict=True):
            total += found / task.n_pairs
    return mean + (gradient * (kept - fixed)).sum()  # which is 0, and has this gradient


def _sum_and_gradient(
    task: Task, kept: Float[Tensor, "1 edge"], pairs: Int[Tensor, " row"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "1 edge"]]:
    """Of the metric of pairs that follow each other; nothing of their run stays in memory."""
    kept = kept.clone().requires_grad_()
    rows = slice(int(pairs[0]), int(pairs[-1]) + 1)
    metric = _metrics(task, kept, task.clean[rows], task.alternative[rows], pairs).sum()
    (gradient,) = torch.autograd.grad(metric, kept)
    return metric.detach(), gradient


def _metrics(
    task: Task, kept: Tensor, clean: Tensor, alternative: Tensor, pairs: Int[Tensor, " row"]
) -> Float[Tensor, " row"]:
    mask = (1 - kept).to(alternative.dtype)
    return task.measure(task.model.run(clean, alternative, mask).logits, pairs)
