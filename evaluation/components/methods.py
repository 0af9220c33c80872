"""Methods that score components, by name: patching, gradients, and gradients integrated."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from knowncircuits.checks.values import fit_all
from knowncircuits.errors import MethodError, UnknownNameError
from knowncircuits.evaluation.choices import Level
from knowncircuits.evaluation.components.integrated import component_gradients
from knowncircuits.evaluation.components.parts import ComponentScores
from knowncircuits.evaluation.components.patched import component_effects
from knowncircuits.evaluation.methods.gradients import GradientsAt, default_run
from knowncircuits.evaluation.methods.integrated import Rule
from knowncircuits.evaluation.methods.method import Count
from knowncircuits.evaluation.task import Task

ComponentMethod = Callable[..., ComponentScores]


def _exact(task: Task, level: Level, per_position: bool) -> ComponentScores:
    return component_effects(task, level, per_position=per_position)


def _gradient(
    task: Task, level: Level, per_position: bool, *, gradients_at: GradientsAt | None = None
) -> ComponentScores:
    at = default_run(task, gradients_at)
    return component_gradients(task, level, along=at, per_position=per_position)


def _inputs(
    task: Task, level: Level, per_position: bool, *, steps: Count = 5, rule: Rule = "midpoint"
) -> ComponentScores:
    return component_gradients(
        task, level, along="inputs", per_position=per_position, steps=steps, rule=rule
    )


def _layer(
    task: Task, level: Level, per_position: bool, *, steps: Count = 5, rule: Rule = "midpoint"
) -> ComponentScores:
    return component_gradients(
        task, level, along="layer", per_position=per_position, steps=steps, rule=rule
    )


def _alone(
    task: Task, level: Level, per_position: bool, *, steps: Count = 5, rule: Rule = "midpoint"
) -> ComponentScores:
    return component_gradients(
        task, level, along="alone", per_position=per_position, steps=steps, rule=rule
    )


COMPONENT_METHODS: dict[str, ComponentMethod] = {
    "exact": _exact,  # each patched alone
    "gradient": _gradient,  # attribution patching
    "ig-inputs": _inputs,  # integrated while the embeddings move,
    "ig-layer": _layer,  # all components of a layer at once,
    "ig-alone": _alone,  # or one by itself
}


def run_method(
    name: str, task: Task, level: Level, *, per_position: bool = False, **options: Any
) -> ComponentScores:
    """Score components by a method of COMPONENT_METHODS.

    Raises:
        UnknownNameError: for another method or level.
        MethodError: for options that the method does not take, or values that do not fit.
    """
    if name not in COMPONENT_METHODS:
        raise UnknownNameError("method of components", name, COMPONENT_METHODS)
    run = COMPONENT_METHODS[name]
    return run(task, level, per_position, **_fitted(name, run, options))


def _fitted(name: str, run: ComponentMethod, options: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(run).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if unknown := sorted(set(options) - set(known)):
        takes = ", ".join(known) or "none"
        raise MethodError(f"{name} takes no option {', '.join(unknown)}; its options: {takes}")
    return fit_all(options, run, MethodError)
