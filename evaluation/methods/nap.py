"""Node attribution patching, its scores spread over the edges."""

from __future__ import annotations

from knowncircuits.evaluation.methods.gradients import (
    GradientsAt,
    default_run,
    first_order_effects,
)
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.methods.nodes import spread, sum_by_source
from knowncircuits.evaluation.task import Task


def nap(
    task: Task, *, gradients_at: GradientsAt | None = None, batch_size: Count = 256
) -> Attribution:
    """Gradient at a node's output times its difference; an edge has its weaker end's score.

    Attribution patching (Nanda, 2023; Kramár et al., 2024): to first order, the effect of patching
    a node. A circuit of nodes holds the edges between them, so an edge ranks with its weaker end,
    and edges into q, k and v of a head score the same; `logits` is always in. Ranks by absolute
    values.

    Args:
        task: what to look at.
        gradients_at: `clean` or `corrupted`; by default as the metric allows, as for `eap`.
        batch_size: pairs at a time.

    Cost: 2 forward passes and 1 backward pass for each pair.

    Raises MethodError for gradients of a divergence at the clean run.
    """
    at = default_run(task, gradients_at)
    nodes = sum_by_source(task.graph, first_order_effects(task, at, batch_size))
    return Attribution(
        spread(task.graph, nodes), 2 * task.n_pairs, task.n_pairs, {"at": at, "nodes": nodes}
    )
