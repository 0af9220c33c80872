"""Node attribution patching with integrated gradients, its scores spread over the edges."""

from __future__ import annotations

from knowncircuits.evaluation.methods.integrated import Rule, integrate_inputs, passes
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.methods.nodes import spread, sum_by_source
from knowncircuits.evaluation.task import Task


def nap_ig(
    task: Task, *, steps: Count = 5, rule: Rule = "riemann", batch_size: Count = 512
) -> Attribution:
    """Node attribution averaged over inputs between clean and corrupted; see `nap`.

    The node-level method of MIB (Mueller et al., 2025) and of EAP-IG's code (Hanna, Pezzelle and
    Belinkov, 2024), where an MLP's gradient is taken at its input; here it is at its output, as for
    all nodes. Ranks by absolute values.

    Args:
        task: what to look at.
        steps: how many runs on the way, ends included.
        rule: where they lie: `riemann`, `midpoint` or `gauss`; see `quadrature`.
        batch_size: runs at a time, of one pair and one step each.

    Cost: 2 + 2 * steps forward passes and steps backward passes for each pair.

    Raises MethodError for fewer than one step, or another rule.
    """
    nodes = sum_by_source(task.graph, integrate_inputs(task, steps, rule, batch_size))
    return Attribution(spread(task.graph, nodes), *passes(task, steps), {"nodes": nodes})
