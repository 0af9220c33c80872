"""Subnetwork probing of edges, again and again, away from what was found before."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from knowncircuits.evaluation.methods.masks import train_masks
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate, Seed, Weight
from knowncircuits.evaluation.task import Task
from knowncircuits.work.progress import reported

Over = Literal["max", "frequency"]  # what is made of an edge's chances in all restarts


def multi_restart(
    task: Task,
    *,
    restarts: Count = 5,
    overlap: Weight = 10.0,
    over: Over = "max",
    regularisation: Weight = 1.0,
    steps: Count = 500,
    learning_rate: Rate = 0.01,
    seed: Seed = 0,
) -> Attribution:
    """The greatest chance that an edge is kept in any of some runs, each away from those before.

    Runs of `edge-sp` (Cao, Sanh and Rush, 2021), which finds one circuit where several would do. In
    each an edge costs 1 + `overlap` times the greatest chance that it had before, as often as any
    other edge, so that copies and backups come to be cheaper than what they stand in for. Ranks as
    signed: higher is more in the circuit. No paper has it in this form; the options of training are
    those of `edge-sp`, the others ours.

    Args:
        task: what to look at.
        restarts: how many runs.
        overlap: what an edge that was certainly kept costs beside the 1 of every edge.
        over: `max`, or `frequency`, in which share of the runs the edge was kept (more than 1/2).
        regularisation: what it costs to keep all edges, none of which was found before.
        steps: of each run.
        learning_rate: of the masks.
        seed: of the noise in the first run's masks; the others have the numbers after it.

    Cost: 2 + restarts x steps forward passes and restarts x steps backward passes for each pair.
    `details` has the mean chance of each run.
    """
    runs: list[np.ndarray] = []
    found = np.zeros(task.graph.n_edges)
    for restart in reported(range(restarts)):
        costs = torch.from_numpy(1 + overlap * found).to(task.alternative)
        chances = train_masks(
            task,
            task.graph.n_edges,
            lambda masks: masks,
            regularisation=regularisation,
            steps=steps,
            learning_rate=learning_rate,
            seed=seed + restart,
            costs=costs,
        )
        runs.append(chances)
        found = np.maximum(found, chances)
    values = found if over == "max" else np.mean([chances > 0.5 for chances in runs], axis=0)
    n = restarts * steps
    details = {"kept": [float(chances.mean()) for chances in runs]}
    return Attribution(values, (2 + n) * task.n_pairs, n * task.n_pairs, details)
