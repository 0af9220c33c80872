"""Gradient interaction modifications: edge attribution patching past softmax and products."""

from __future__ import annotations

from knowncircuits.backward import BackwardRules
from knowncircuits.evaluation.methods.gradients import (
    GradientsAt,
    default_run,
    first_order_effects,
)
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate
from knowncircuits.evaluation.task import Task


def gim(
    task: Task,
    *,
    temperature: Rate = 2.0,
    queries: Rate = 0.25,
    keys: Rate = 0.25,
    values: Rate = 0.5,
    gates: Rate = 0.5,
    freeze_norms: bool = True,
    gradients_at: GradientsAt | None = None,
    batch_size: Count = 256,
) -> Attribution:
    """As `eap`, with gradients that see several inputs of an interaction move together.

    Edin et al. (2025), "GIM: Improved interpretability for large language models" (gradient
    interaction modifications). Attention that is certain repairs itself when one score moves, and
    the gradient at a softer softmax does not; and each factor of a product gets its part of the
    gradient, where both moving counts the product twice. Ranks by absolute values.

    Args:
        task: what to look at.
        temperature: of the softmax that gradients see; 2 as published. They are not divided by it.
        queries: share of the gradient that queries hand on; published.
        keys: the same of keys.
        values: the same of values.
        gates: the same of both factors of a gated MLP's product; the authors' package has it since
            its version 0.2.
        freeze_norms: hold the scale of every norm constant, as published.
        gradients_at: `clean` or `corrupted`; by default as the metric allows, as for `eap`.
        batch_size: pairs at a time.

    Cost: 2 forward passes and 1 backward pass for each pair.

    Raises MethodError for gradients of a divergence at the clean run.
    """
    at = default_run(task, gradients_at)
    rules = BackwardRules(
        frozen_norms=freeze_norms,
        temperature=temperature,
        queries=queries,
        keys=keys,
        values=values,
        gates=gates,
    )
    effects = first_order_effects(task, at, batch_size, rules)
    return Attribution(effects, 2 * task.n_pairs, task.n_pairs, {"at": at})
