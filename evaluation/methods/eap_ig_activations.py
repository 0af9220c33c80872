"""EAP with integrated gradients: while one node's output at a time goes from clean to corrupted."""

from __future__ import annotations

from knowncircuits.evaluation.methods.integrated import Rule, integrate_nodes
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task


def eap_ig_activations(
    task: Task, *, steps: Count = 5, rule: Rule = "riemann", batch_size: Count = 512
) -> Attribution:
    """EAP's scores averaged over runs in which the edge's source alone is partly corrupted.

    Integrated gradients of each node's output (Marks et al., 2024; Hanna, Pezzelle and Belinkov,
    2024, in the code of EAP-IG): a node's edges together come to the effect of patching it. A
    positive score says that the metric grows when the edge reads the alternative. Ranks by absolute
    values.

    The authors' code moves all heads of a layer at once, and adds the gradients at every edge of
    the model to its score, not only those of the layer that moves; it includes the clean end and
    leaves out the corrupted one. Here each node moves alone and gives scores to its own edges.

    Args:
        task: what to look at.
        steps: how many runs on the way for each node.
        rule: where they lie: `riemann`, `midpoint` or `gauss`; see `quadrature`.
        batch_size: runs at a time, of one pair, one node and one step each.

    Cost: for each pair 2 forward passes, and steps forward and steps backward passes for each node
    that does not write the same either way.

    Raises MethodError for fewer than one step, or another rule.
    """
    values, n_runs = integrate_nodes(task, steps, rule, batch_size)
    return Attribution(values, 2 * task.n_pairs + n_runs, n_runs)
