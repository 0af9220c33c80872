"""Subnetwork probing of edges: a mask for every edge, trained to remove what is not needed."""

from __future__ import annotations

from knowncircuits.evaluation.methods.masks import Regularised, train_masks
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate, Seed
from knowncircuits.evaluation.task import Task


def edge_sp(
    task: Task,
    *,
    regularisation: float = 1.0,
    steps: Count = 500,
    learning_rate: Rate = 0.01,
    seed: Seed = 0,
    regularise: Regularised = "chance",
) -> Attribution:
    """How likely an edge is kept by masks that are trained to keep the metric low and themselves 0.

    Subnetwork probing (Cao, Sanh and Rush, 2021) with hard-concrete masks on edges, as InterpBench
    runs it (Gupta et al., 2024), with its numbers: learning rate 0.01, 500 steps, cost 1. Ranks as
    signed: higher is more in the circuit.

    It departs from that in two ways. One run ranks all edges by their chance of being kept, where
    the authors cut at 1/2 and repeat the run with other costs. And all masks cost the same, where
    there each group of inputs (a layer's q, say) does.

    Args:
        task: what to look at.
        regularisation: what it costs to keep all edges, in units of the metric.
        steps: of training; all pairs are seen in each.
        learning_rate: of the masks.
        seed: of the noise in the masks.
        regularise: what costs: a mask's `chance` of being kept, as its authors have it, or the
            `sampled` mask, as auto-circuit has it; see `train_masks`.

    Cost: 2 + steps forward passes and steps backward passes for each pair.

    Raises MethodError for fewer than one step, a regularisation below 0, or one of another kind.
    """
    values = train_masks(
        task,
        task.graph.n_edges,
        lambda masks: masks,
        regularisation=regularisation,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
        regularise=regularise,
    )
    return Attribution(values, (2 + steps) * task.n_pairs, steps * task.n_pairs)
