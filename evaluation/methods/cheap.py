"""Scores that look at a model but patch nothing and take no gradient."""

from __future__ import annotations

import torch

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.linear_reads import (
    Paths,
    Shares,
    along_paths,
    shares,
    variances_read,
    weights_read,
)
from knowncircuits.evaluation.task import Task
from knowncircuits.transformer import Transformer


def read_share(task: Task, *, paths: Paths = "best") -> Shares:
    """The share of the variance that an edge's target reads linearly, times that along paths.

    Of all that a head's q, k or v, an MLP or `logits` reads, over the task's inputs, an edge has
    the share that is its source's; what goes on from its target to `logits` is the product of
    shares along a path. See `linear_reads` for what is read.

    Args:
        task: its model and its inputs, clean and corrupted.
        paths: `best`, the path of the highest product, or `all`, the sum over them.

    Raises MethodError for a model that is not a Transformer.
    """
    tokens = torch.cat([task.clean, task.corrupted])
    read = variances_read(_transformer(task, "read-share"), tokens)
    return along_paths(task.graph, shares(task.graph, read), paths)


def spread(task: Task) -> Shares:
    """The variance of what an edge's target reads linearly, over the task's inputs.

    As `read-share`, but neither a share of what else is read there, nor times what goes on.

    Args:
        task: its model and its inputs, clean and corrupted.

    Raises MethodError for a model that is not a Transformer.
    """
    tokens = torch.cat([task.clean, task.corrupted])
    return variances_read(_transformer(task, "spread"), tokens)


def weights(task: Task, *, paths: Paths = "all") -> Shares:
    """As `read-share`, but by the norms of products of weights: no input is looked at.

    An edge has the squared norm of its source's output matrix times the matrix that its target
    reads through, as a share of that of all sources. See `linear_reads.weights_read`.

    Args:
        task: its model.
        paths: `all`, the sum over paths, or `best`.

    Raises MethodError for a model that is not a Transformer.
    """
    read = weights_read(_transformer(task, "weights"))
    return along_paths(task.graph, shares(task.graph, read), paths)


def _transformer(task: Task, name: str) -> Transformer:
    if not isinstance(task.model, Transformer):
        kind = type(task.model).__name__
        raise MethodError(f"expected a Transformer, whose weights {name} looks at, got a {kind}")
    return task.model
