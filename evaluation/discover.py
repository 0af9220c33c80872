"""Run a discovery method, ours or the user's, on a task."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from knowncircuits.errors import ResultError, TaskError, UnknownNameError
from knowncircuits.evaluation.methods import METHODS, Attribution, Method
from knowncircuits.evaluation.scores import Scores
from knowncircuits.evaluation.task import Task


def methods() -> list[str]:
    """The names of the methods that come with the library."""
    return sorted(METHODS)


def load_method(name: str) -> Method:
    """The method of a name; raises UnknownNameError, with the close names, if there is none."""
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]


def discover(method: str | Callable[..., Any], task: Task, **options: Any) -> Scores:
    """Score every edge of a task's model.

    Args:
        method: a name out of `methods()`, or a function of a task (and options) that returns a
            vector in the order of `task.graph.edges`, or a dict from edges to numbers.
        task: what the method may see.
        options: the method's own; unknown ones are refused.

    Raises:
        UnknownNameError: for an unknown method.
        TaskError: for options that the method does not take.
        GraphError: for scores that are not finite or do not fit the graph.
        ResultError: for a result that is neither a vector nor a dict.
    """
    if isinstance(method, str):
        name, chosen = method, load_method(method)
    else:
        name, chosen = getattr(method, "__name__", "method"), Method(method)
    accepted = inspect.signature(chosen.run).parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        unknown = sorted(set(options) - set(list(accepted)[1:]))
        if unknown:
            known = ", ".join(list(accepted)[1:]) or "none"
            raise TaskError(f"{name} takes no option {', '.join(unknown)}; its options: {known}")
    start = time.perf_counter()
    result = chosen.run(task, **options)
    seconds = time.perf_counter() - start
    if not isinstance(result, Attribution):
        result = Attribution(_vector(result, task, name))
    return Scores(
        task.graph,
        result.values,
        name,
        chosen.rank_by,
        options,
        result.forward_passes,
        result.backward_passes,
        seconds,
    )


def _vector(result: object, task: Task, name: str) -> np.ndarray:
    if isinstance(result, Mapping):
        return task.graph.vector(result)
    if hasattr(result, "detach"):  # a tensor
        result = result.detach().cpu().numpy()
    try:
        return np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ResultError(
            f"expected {name} to return a vector or a dict of numbers, got {type(result).__name__}"
        ) from error
