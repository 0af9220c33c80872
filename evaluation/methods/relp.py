"""Relevance patching: edge attribution patching with the rules of LRP for gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from knowncircuits.backward import BackwardRules
from knowncircuits.evaluation.methods.gradients import (
    GradientsAt,
    default_run,
    first_order_effects,
)
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task

LrpRule = Literal["ln", "ah", "identity", "half"]


def relp(
    task: Task,
    *,
    rules: Sequence[LrpRule] = ("ln", "identity", "half"),
    gradients_at: GradientsAt | None = None,
    batch_size: Count = 256,
) -> Attribution:
    """As `eap`, with propagation coefficients of LRP in place of gradients.

    Jafari, Eberle, Khakzar and Nanda (2025), "RelP: Faithful and efficient circuit discovery via
    relevance patching". Every layer hands on relevance as if it were linear with the coefficients
    that it has in this run, so that curvature and saturation of single layers do not show. Ranks by
    absolute values. On a linear model it is `eap`, which is exact.

    Args:
        task: what to look at.
        rules: which layers are linearised; all others hand on gradients. `ln`: a norm's scale is a
            constant. `identity`: an activation f(x) is x times the constant f(x) / x; for ReLU that
            is its gradient. `half`: each factor of a gated MLP's product gets half. `ah`: attention
            patterns are constants, so that edges into queries and keys have 0. The default is that
            of the authors' code, which leaves `ah` out.
        gradients_at: `clean` or `corrupted`; by default as the metric allows, as for `eap`.
        batch_size: pairs at a time.

    At x = 0 exactly the identity rule hands on nothing; the authors add 1e-6 to x, here only that
    case is treated.

    Cost: 2 forward passes and 1 backward pass for each pair.

    Raises MethodError for gradients of a divergence at the clean run.
    """
    at = default_run(task, gradients_at)
    backward = BackwardRules(
        frozen_norms="ln" in rules,
        frozen_patterns="ah" in rules,
        linear_activations="identity" in rules,
        gates=0.5 if "half" in rules else 1.0,
    )
    values = first_order_effects(task, at, batch_size, backward)
    return Attribution(values, 2 * task.n_pairs, task.n_pairs, {"at": at})
