"""Head importance for pruning: gradient times difference of heads and MLPs, pair by pair."""

from __future__ import annotations

import numpy as np

from knowncircuits.evaluation.methods.gradients import GradientsAt, default_run, first_order_by_pair
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.methods.nodes import edges_between
from knowncircuits.evaluation.task import Task

LEAST = 1e-6  # norm of a layer, as published: what is below is not enlarged to 1


def hisp(
    task: Task,
    *,
    gradients_at: GradientsAt | None = None,
    by_layer: bool = True,
    batch_size: Count = 256,
) -> Attribution:
    """How much a head's q, k or v or an MLP matters to first order, pair by pair; of either end.

    The head importance score for pruning (Michel, Levy and Neubig, 2019, "Are sixteen heads really
    better than one?"), as Conmy et al. (2023) run it to find circuits: the size of gradient times
    difference on each pair, mean over pairs, divided by the norm of the scores of its layer. With
    the ablation `zero` the difference is the activation, as in the original. An edge is in, as with
    `sp`, if what it reads is (an MLP; a head of which q, k or v is) and what it feeds is. The
    embeddings and `logits` have no score and are always in, so `embed->logits` ranks first. Ranks
    as signed: sizes only.

    It departs from that in two ways. A head's q, k and v have the sum of the effects of the edges
    into them, the same to first order where no norm stands between. And with a divergence, whose
    gradient at the clean run is zero, gradients are taken at the corrupted run.

    Args:
        task: what to look at.
        gradients_at: `clean` or `corrupted`; by default clean, or corrupted with a divergence.
        by_layer: whether scores are divided by the norm of their layer's, as published, or by the
            norm of all.
        batch_size: pairs at a time.

    Cost: 2 forward passes and 1 backward pass for each pair.

    Raises MethodError for gradients of a divergence at the clean run.
    """
    graph, at = task.graph, default_run(task, gradients_at)
    effects = first_order_by_pair(task, at, batch_size)
    source, destination = graph.source_of_edge, graph.destination_of_edge
    scored = [name for name in graph.destinations if name != "logits"]
    sizes = np.zeros(len(scored))
    for i, name in enumerate(scored):
        # An MLP is seen where it writes, a head's q, k and v where they read.
        own = destination == i if name.letter else source == graph.sources.index(name.node)
        sizes[i] = np.abs(effects[:, own].sum(1)).mean()
    layers = np.array([name.node.layer for name in scored])
    norms = np.sqrt(np.bincount(layers, sizes**2))
    if not by_layer:
        norms[:] = np.linalg.norm(sizes)
    importances = dict(
        zip(scored, (sizes / np.maximum(norms[layers], LEAST)).tolist(), strict=True)
    )
    return Attribution(
        edges_between(graph, importances),
        2 * task.n_pairs,
        task.n_pairs,
        {"at": at, "importances": importances},
    )
