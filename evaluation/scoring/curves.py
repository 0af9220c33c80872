"""ROC and precision-recall curves of a ranking against the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.scoring.views import view_circuit

DIGITS = 12  # of rates and recalls: beyond, equal ones differ by how they were computed
# False positive rates and recalls at which curves are averaged.
GRID = np.linspace(0, 1, 201).round(DIGITS)
COLUMNS = ("threshold", "n_chosen", "false_positive_rate", "recall", "precision")

Truth = Bool[np.ndarray, " item"]


@takes(scores=Scores, circuit=Circuit)
def score_curve(
    scores: Scores, circuit: Circuit, view: str = "edge", *, resolution: float = RESOLUTION
) -> pd.DataFrame:
    """Every threshold of a ranking, from none chosen to all; tied scores are one threshold.

    Args:
        scores: of every edge.
        circuit: the truth, over the same graph.
        view: see `score`.
        resolution: see `score`.

    Returns:
        Columns threshold (items whose ranking is at least as high are chosen; the first is
        infinite), n_chosen, false_positive_rate, recall (the true positive rate), precision (1
        where nothing is chosen). Empty where all determined items are of one kind.
    """
    seen = view_circuit(circuit, view)
    if seen.truth.all() or not seen.truth.any():
        return pd.DataFrame(columns=list(COLUMNS), dtype=float)
    hits, misses = count_steps(seen.truth, seen.select(scores.ranks(resolution)))
    chosen = hits + misses
    lowest = np.append(np.inf, np.sort(seen.select(scores.ranking))[::-1][chosen[1:] - 1])
    precision = np.divide(hits, chosen, out=np.ones(len(hits)), where=chosen > 0)
    columns = (lowest, chosen, misses / misses[-1], hits / hits[-1], precision)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def count_steps(
    truth: Truth, ranking: Float[np.ndarray, " item"]
) -> tuple[Int[np.ndarray, " step"], Int[np.ndarray, " step"]]:
    """How many true and how many other items are chosen, from none to all; ties go together."""
    order = np.argsort(-ranking, kind="stable")
    last_of_tie = np.append(np.diff(ranking[order]) != 0, True)
    found = (np.cumsum(kind[order])[last_of_tie] for kind in (truth, ~truth))
    hits, misses = (np.append(0, counts) for counts in found)
    return hits, misses


def roc_at(
    truth: Truth,
    rankings: Float[np.ndarray, "ranking item"],
    rates: Float[np.ndarray, " rate"] = GRID,
) -> Float[np.ndarray, "ranking rate"]:
    """The share of true items that rankings find at false positive rates.

    On straight lines between thresholds, as ties at random give it; where a curve rises straight
    up, its upper end. Expects items of both kinds.
    """
    curves = np.empty((len(rankings), len(rates)))
    for curve, ranking in zip(curves, rankings, strict=True):
        hits, misses = count_steps(truth, ranking)
        curve[:] = np.interp(rates, (misses / misses[-1]).round(DIGITS), hits / hits[-1])
    return curves


def precision_at(
    truth: Truth,
    rankings: Float[np.ndarray, "ranking item"],
    recalls: Float[np.ndarray, " recall"] = GRID,
) -> Float[np.ndarray, "ranking recall"]:
    """The precision of rankings at recalls: that of the first threshold that reaches each.

    So the area under the whole curve is the average precision. Expects items of both kinds.
    """
    curves = np.empty((len(rankings), len(recalls)))
    for curve, ranking in zip(curves, rankings, strict=True):
        hits, misses = count_steps(truth, ranking)
        # The first step, at which nothing is chosen, reaches no recall.
        places = 1 + np.searchsorted((hits[1:] / hits[-1]).round(DIGITS), recalls)
        curve[:] = hits[places] / (hits + misses)[places]
    return curves
