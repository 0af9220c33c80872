"""A control: scores that know nothing."""

from __future__ import annotations

import numpy as np

from knowncircuits.evaluation.methods.method import Attribution
from knowncircuits.evaluation.task import Task


def random(task: Task, *, seed: int = 0) -> Attribution:
    """Uniform random scores: AUROC 0.5, average precision at the prevalence, within chance.

    Args:
        task: only its graph is looked at.
        seed: of the scores.
    """
    return Attribution(np.random.default_rng(seed).uniform(size=task.graph.n_edges))
