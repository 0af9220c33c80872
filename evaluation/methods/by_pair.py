"""Any method on each pair alone: what it says of one input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.method import Control, Method
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.task import Task


@takes(task=Task, circuit=Circuit | None)
def discover_by_pair(
    method: str | Callable[..., Any] | Method | Control,
    task: Task,
    *,
    circuit: Circuit | None = None,
    **options: Any,
) -> Scores:
    """Score every edge on each pair of a task, as if it were the only one; see `discover`.

    Returns:
        Scores whose `by_pair` has a row for each pair, and whose values are the mean of the sizes
        that rank: of the absolute values, where a method ranks by them. Passes are the sum.

    Raises as `discover`.
    """
    found = [
        discover(method, task.of_pairs(pair), circuit=circuit, **options)
        for pair in batches(task.n_pairs, 1, task.clean.device)
    ]
    first = found[0]

    def total(name: str) -> Any:
        counts = [getattr(scores, name) for scores in found]
        return None if None in counts else sum(counts)

    return replace(
        first,
        values=np.mean([scores.ranking for scores in found], 0),
        by_pair=np.array([scores.values for scores in found]),
        by_position=None,
        forward_passes=total("forward_passes"),
        backward_passes=total("backward_passes"),
        seconds=total("seconds"),
        details={},
    )
