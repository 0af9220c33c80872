"""Edge attribution patching: the effect of every edge to first order, from one backward pass."""

from __future__ import annotations

from knowncircuits.evaluation.methods.gradients import (
    GradientsAt,
    default_run,
    first_order_effects,
)
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task


def eap(
    task: Task, *, gradients_at: GradientsAt | None = None, batch_size: Count = 256
) -> Attribution:
    """Gradient at an edge's destination times the difference of what its source writes.

    One backward pass gives it for all edges (Syed, Rager and Conmy, 2023, "Attribution patching
    outperforms automated circuit discovery"). A positive score says that the metric grows, that is,
    that behaviour is lost, when the edge reads the alternative. Ranks by absolute values.

    The authors take gradients at the clean run, which is the default here too where the metric has
    one there (`logit_diff`, `prob_diff`, `label_loss`). A divergence from the clean output (`kl`,
    `l2`) is least there and has none, so with those gradients are taken at the corrupted run.

    Args:
        task: what to look at.
        gradients_at: `clean` or `corrupted`; by default as the metric allows.
        batch_size: pairs at a time.

    Cost: 2 forward passes and 1 backward pass for each pair.

    Raises MethodError for gradients of a divergence at the clean run.
    """
    at = default_run(task, gradients_at)
    return Attribution(
        first_order_effects(task, at, batch_size), 2 * task.n_pairs, task.n_pairs, {"at": at}
    )
