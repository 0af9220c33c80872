"""EAP with integrated gradients: while the input goes from clean to corrupted."""

from __future__ import annotations

from knowncircuits.evaluation.methods.integrated import Rule, integrate_inputs, passes
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task


def eap_ig_inputs(
    task: Task, *, steps: Count = 5, rule: Rule = "riemann", batch_size: Count = 512
) -> Attribution:
    """EAP's scores averaged over runs whose embeddings lie between the clean and the corrupted.

    Hanna, Pezzelle and Belinkov (2024), "Have faith in faithfulness". Gradients that vanish at
    either end are met on the way. The difference that multiplies them stays that of the ends. A
    positive score says that the metric grows when the edge reads the alternative. Ranks by absolute
    values.

    As in the authors' code, the corrupted end is one of the steps and the clean end is not; other
    quadratures are options. It departs from that code under mean and zero ablation, which are
    refused there: here the embeddings then go to the mean or to zero.

    Args:
        task: what to look at.
        steps: how many runs on the way, ends included; 5 in the authors' experiments.
        rule: where they lie: `riemann`, `midpoint` or `gauss`; see `quadrature`.
        batch_size: runs at a time, of one pair and one step each.

    Cost: 2 + 2 * steps forward passes and steps backward passes for each pair; 2 + steps forward
    passes where models are large (docs/scale.md).

    Raises MethodError for fewer than one step, or another rule.
    """
    values = integrate_inputs(task, steps, rule, batch_size)
    return Attribution(values, *passes(task, steps))
