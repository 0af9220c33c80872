"""Edge attribution patching with gradients at both ends, the clean and the corrupted run."""

from __future__ import annotations

from knowncircuits.evaluation.methods.gradients import first_order_effects
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task


def clean_corrupted(task: Task, *, batch_size: Count = 256) -> Attribution:
    """Mean of EAP's scores with gradients at the clean and at the corrupted run.

    Integrated gradients in two steps, the ends of the way (Hanna, Pezzelle and Belinkov, 2024, in
    the code of EAP-IG). Ranks by absolute values. With a divergence (`kl`, `l2`), whose gradient at
    the clean run is zero, it ranks exactly as `eap` does.

    Args:
        task: what to look at.
        batch_size: pairs at a time.

    Cost: 4 forward passes and 2 backward passes for each pair.
    """
    ends = [first_order_effects(task, at, batch_size) for at in ("clean", "corrupted")]
    return Attribution((ends[0] + ends[1]) / 2, 4 * task.n_pairs, 2 * task.n_pairs)
