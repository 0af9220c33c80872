"""A method on many random subsets of the pairs: how often an edge is in its circuit."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field

from knowncircuits.evaluation.methods.bases import Base, base_scores
from knowncircuits.evaluation.methods.method import Attribution, Count, Seed
from knowncircuits.evaluation.task import Task
from knowncircuits.work.progress import reported

Part = Annotated[float, Field(gt=0, le=1)]
Chance = Annotated[float, Field(ge=0, lt=1)]


def vote(
    task: Task,
    *,
    of: Base = "eap-ig-inputs",
    size: Part = 0.1,
    subsets: Count = 100,
    deletion: Chance = 0.5,
    sure: Chance = 0.0,
    seed: Seed = 0,
) -> Attribution:
    """The share of random subsets of the pairs in which an edge is among a method's highest.

    After Certified Circuits (Anani et al., 2026, "Certified circuits: stability guarantees for
    mechanistic circuits"): a method finds a circuit in each of many subsets, made by deleting every
    pair at a chance, and components vote; those without a clear vote are abstained from. Where ties
    cross the border of a circuit each tied edge has its chance of being inside. Ranks as signed:
    higher is more in the circuit, with many ties.

    It departs from that in these ways. Shares rank edges, where the authors take the sure ones as
    the circuit, and certify how far the pairs may be edited before a decision changes: no bound is
    given here. An edge that is abstained from (`sure`) is out, as theirs are. A subset in which no
    pair is left keeps one.

    Args:
        task: what to look at.
        of: the method, with its own defaults.
        size: of each circuit, as a share of all edges.
        subsets: how many; the authors take 1,000.
        deletion: chance of every pair.
        sure: of shares; those below are abstained from, and 0.
        seed: of the subsets, and of the method where it draws.

    Cost: that of the method on subsets times the pairs that are kept, half of all by default.
    """
    n_edges, rng = task.graph.n_edges, np.random.default_rng(seed)
    kept = rng.uniform(size=(subsets, task.n_pairs)) >= deletion
    kept[np.arange(subsets), rng.integers(task.n_pairs, size=subsets)] |= ~kept.any(1)
    n_inside = max(1, round(size * n_edges))
    votes, forward, backward = np.zeros(n_edges), 0, 0
    for pairs in reported(list(kept)):
        scores = base_scores(of, _part(task, pairs), seed)
        votes += inside(scores.ranks(), n_inside)
        forward += scores.forward_passes or 0
        backward += scores.backward_passes or 0
    shares = votes / subsets
    return Attribution(np.where(shares < sure, 0.0, shares), forward, backward)


def inside(ranks: Float[np.ndarray, " edge"], size: int) -> Float[np.ndarray, " edge"]:
    """The chance of each edge to be among so many highest, where ties are broken at random."""
    border = np.partition(ranks, -size)[-size]
    above, tied = ranks > border, ranks == border
    chances: Float[np.ndarray, " edge"] = above + tied * ((size - above.sum()) / tied.sum())
    return chances


def _part(task: Task, pairs: np.ndarray) -> Task:
    """The task on some of its pairs, with nothing computed yet."""
    rows = np.flatnonzero(pairs)
    return replace(
        task, clean=task.clean[rows], corrupted=task.corrupted[rows], counts=task.counts[rows]
    )
