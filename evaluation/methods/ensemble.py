"""Several methods together: each ranks the edges, and the ranks are joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.bases import Base, base_scores
from knowncircuits.evaluation.methods.method import Attribution, Seed
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.task import Task
from knowncircuits.work.progress import reported

Join = Literal["mean", "min", "max"]
By = Literal["ranks", "scores"]


def ensemble(
    task: Task,
    *,
    of: Sequence[Base] = ("eap-ig-inputs", "eap-ig-activations", "edge-sp"),
    join: Join = "mean",
    by: By = "ranks",
    seed: Seed = 0,
) -> Attribution:
    """Where several methods rank an edge: the mean, the least or the greatest of their ranks.

    The parallel ensembles of the MIB shared task (Mondorf et al., 2025, "Exploring ensemble
    strategies for circuit localization methods"). A rank is the share of edges that the edge is not
    below, tied edges at their mean, so the highest edge alone has 1. Ties are what `Scores.ranks`
    does not tell apart, as everywhere. Ranks as signed: higher is more in the circuit.

    It departs from that in what is joined. The authors join scores (`by=scores`), where the method
    with the largest numbers decides; they join with their signs, here what each method ranks by is
    joined. Their sequential ensemble, which starts masks from scores, is another method.

    Args:
        task: what to look at.
        of: the methods, each with its own defaults; a name given twice counts twice.
        join: `mean`; `min`, an edge is as high as the method that ranks it lowest says; `max`.
        by: `ranks`, or `scores` as published.
        seed: of those methods that draw.

    Cost: that of all the methods, of which each counts the two unpatched runs.

    Raises MethodError for no method.
    """
    if not len(of):
        raise MethodError("expected at least one method to join, got none")
    found = [base_scores(name, task, seed) for name in reported(list(of))]
    places = np.array([edge_ranks(s) if by == "ranks" else s.ranking for s in found])
    joined: Float[np.ndarray, " edge"] = getattr(places, join)(0)
    return Attribution(
        joined,
        sum(s.forward_passes or 0 for s in found),
        sum(s.backward_passes or 0 for s in found),
        {"of": [s.method for s in found]},
    )


def edge_ranks(scores: Scores) -> Float[np.ndarray, " edge"]:
    """For each edge the share of edges that it is not below; of tied edges the mean of theirs."""
    ranks: Float[np.ndarray, " edge"] = rankdata(scores.ranks()) / scores.graph.n_edges
    return ranks
