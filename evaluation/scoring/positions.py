"""Scores of edges at single positions against the truth there."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int8

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Label
from knowncircuits.errors import GraphError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.scoring.ranking import at_resolution
from knowncircuits.evaluation.scoring.scores import (
    AREAS,
    OF_VIEW,
    Score,
    Scores,
    choose,
    score_rankings,
)
from knowncircuits.evaluation.scoring.views import View


@takes(scores=Scores)
def score_positions(
    scores: Scores, labels: Int8[np.ndarray, "edge pos"], *, resolution: float = RESOLUTION
) -> Score:
    """Score what a method says of each edge at each position; an item is an edge at a position.

    Where it says nothing of single positions its scores of edges count at each: what is a circuit
    worth that is the same at all positions?

    Args:
        scores: of a method.
        labels: of every edge at every position, see `position_labels`.
        resolution: see `score`.

    Raises:
        GraphError: for labels of another number of edges, or of positions.
        InputError: for a resolution that is not from 0 to below 1.
    """
    ranking, shape = scores.ranking[:, None], labels.shape
    if scores.by_position is not None:
        table = scores.by_position
        ranking = np.abs(table) if scores.rank_by == "absolute" else table
    fits = len(shape) == 2 and len(ranking) == shape[0]
    if not fits or ranking.shape[1] not in (1, shape[-1]):
        expected = list(ranking.shape) if scores.by_position is not None else [len(ranking), "pos"]
        raise GraphError(
            f"expected labels of shape [{', '.join(map(str, expected))}], got {list(shape)}"
        )
    items = np.broadcast_to(ranking, shape).ravel()
    determined = np.flatnonzero(labels.ravel() != Label.UNDETERMINED)
    truth = labels.ravel()[determined] == Label.IN
    view = View(truth, determined, np.arange(len(determined)), labels.size)
    found = score_rankings(view, at_resolution(items, resolution))
    values: dict[str, Any] = {name: found[name].item() for name in (*AREAS, *OF_VIEW)}
    defined: dict[str, Any] = {n: None if np.isnan(value) else value for n, value in values.items()}
    chosen = None
    if scores.threshold is not None:
        chosen = choose(truth, items[determined] > scores.threshold)
    return Score(**defined, resolution=resolution, chosen=chosen)
