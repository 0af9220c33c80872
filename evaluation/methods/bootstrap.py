"""EAP-IG over resampled pairs: edges whose sign is not stable have nothing."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field

from knowncircuits.evaluation.methods.integrated import Rule, integrate_inputs_by_pair, passes
from knowncircuits.evaluation.methods.method import Attribution, Count, Seed
from knowncircuits.evaluation.scoring.ranking import at_resolution
from knowncircuits.evaluation.task import Task

ROUNDING = 1e-9  # a third of 3 edges is one

Share = Annotated[float, Field(ge=0, le=1)]


def bootstrap(
    task: Task,
    *,
    resamples: Count = 1000,
    consistency: Share = 0.975,
    positive: Share = 0,
    steps: Count = 5,
    rule: Rule = "riemann",
    seed: Seed = 0,
    batch_size: Count = 256,
) -> Attribution:
    """EAP-IG's score (inputs) of an edge whose sign is that of nearly all resamples of the pairs.

    After Nikankin et al. (2025, "Improving circuit faithfulness via better edge selection", for the
    MIB shared task), who keep edges with scores that are stable under bootstrapping, and then
    prefer positive ones. Pairs are drawn with replacement, as many as there are; an edge whose mean
    over a resample has another sign, or is 0, in too many of them has 0. An edge that is kept has
    its mean over all pairs. Ranks by absolute values.

    With `positive` a share of each circuit's edges are the highest positive ones and the others the
    largest of the rest, of either sign (the authors' ratio). Such circuits are nested as they grow,
    and edges are scored by when they enter; see `places`.

    It departs from the authors in these ways. The number of resamples and the level are ours, .975
    being where a percentile interval of 95% leaves 0 out. Scores are means over pairs, so means
    over resamples come of the scores of pairs, and no pass is run twice. With the ablation `mean`
    that mean stays the one over all pairs. Circuits by integer programming are left out: they are
    no ranking.

    Args:
        task: what to look at.
        resamples: of the pairs.
        consistency: of resamples, that must have the edge's sign.
        positive: share of the edges of a circuit that are chosen among positive ones; 0 for none.
        steps: of the integral; 5 are published.
        rule: of the integral; see `integrated.quadrature`.
        seed: of the resamples.
        batch_size: runs at a time, of one pair and one step each.

    Cost: 2 + 2 * steps forward passes and steps backward passes for each pair, as `eap-ig-inputs`.
    """
    by_pair = integrate_inputs_by_pair(task, steps, rule, batch_size)
    counts = np.random.default_rng(seed).multinomial(
        task.n_pairs, np.full(task.n_pairs, 1 / task.n_pairs), size=resamples
    )
    values = by_pair.mean(0)
    signs = np.sign(at_resolution(counts @ by_pair))
    share = (signs == np.sign(values)).mean(0)
    kept = np.where(share >= consistency, values, 0.0)
    if positive:
        kept = places(kept, positive)
    return Attribution(kept, *passes(task, steps), {"consistent": int((kept != 0).sum())})


def places(values: Float[np.ndarray, " edge"], positive: float) -> Float[np.ndarray, " edge"]:
    """When edges enter as circuits grow, a share of which are the highest positive edges.

    The others are the largest of the rest, of equal sizes positive ones first. 1 for the edge that
    enters first, down to 1 / n for the last of n; tied edges have the mean; edges at 0 have 0.
    """
    grid = at_resolution(values)
    largest = np.lexsort((-grid, -np.abs(grid)))
    largest = largest[grid[largest] != 0]
    highest = np.argsort(-grid, kind="stable")[: (grid > 0).sum()].tolist()
    others, entered = iter(largest.tolist()), dict[int, int]()  # edges, and the sizes at which
    n_highest = 0
    for size in range(1, len(largest) + 1):
        edge = None
        if n_highest < min(int(positive * size + ROUNDING), len(highest)):
            edge = highest[n_highest]
            n_highest += 1
        if edge is None or edge in entered:
            edge = next(other for other in others if other not in entered)
        entered[edge] = size
    found = np.zeros(len(grid))
    found[list(entered)] = 1 - (np.array(list(entered.values())) - 1) / max(1, len(entered))
    _, group = np.unique(grid, return_inverse=True)
    means: Float[np.ndarray, " edge"] = (np.bincount(group, found) / np.bincount(group))[group]
    return means
