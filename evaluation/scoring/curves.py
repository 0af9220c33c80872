"""ROC and precision-recall curves: of one result, and the mean over models and cases."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.results import Result
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.scoring.views import view_circuit

GRID = np.linspace(0, 1, 201)  # false positive rates and recalls at which curves are averaged


def score_curve(scores: Scores, circuit: Circuit, view: str = "edge") -> pd.DataFrame:
    """Every threshold of a ranking, from none chosen to all; tied scores are one threshold.

    Args:
        scores: of every edge.
        circuit: the truth, over the same graph.
        view: see `score`.

    Returns:
        Columns threshold (items that rank at least as high are chosen; the first is infinite),
        n_chosen, false_positive_rate, recall (the true positive rate), precision (1 where nothing
        is chosen). Empty where all determined items are of one kind.
    """
    from sklearn.metrics import roc_curve

    seen = view_circuit(circuit, view)
    n_true = int(seen.truth.sum())
    n_false = seen.truth.size - n_true
    names = ("threshold", "n_chosen", "false_positive_rate", "recall", "precision")
    if not n_true or not n_false:
        return pd.DataFrame(columns=list(names), dtype=float)
    ranks = seen.select(scores.ranking)
    false_rate, recall, thresholds = roc_curve(seen.truth, ranks, drop_intermediate=False)
    hits, misses = recall * n_true, false_rate * n_false
    chosen = (hits + misses).round()
    precision = np.divide(hits, chosen, out=np.ones_like(hits), where=chosen > 0)
    columns = (thresholds, chosen.astype(int), false_rate, recall, precision)
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


def mean_curves(results: Iterable[Result], view: str = "edge") -> pd.DataFrame:
    """The mean ROC and precision-recall curve of each method: over draws, models, then cases.

    Averaged at each false positive rate of a grid (recall, on straight lines between thresholds, as
    ties at random give it) and at each recall of it (precision of the first threshold that reaches
    it, as average precision has it).

    Returns columns method, at (the rate or recall of the grid), recall, precision.
    """
    rows = []
    for result in results:
        curve = score_curve(result.scores, result.circuit, view)
        if not curve.empty:
            rows.append((result.label, result.case, result.variant, *_on_grid(curve)))
    names = ["method", "case", "variant", "recall", "precision"]
    frame = pd.DataFrame(rows, columns=names)
    frame = frame.explode(["recall", "precision"])  # a row for each place of the grid
    frame["at"] = np.tile(GRID, len(rows))
    frame = frame.astype({"recall": float, "precision": float})
    for keys in (["method", "case", "variant", "at"], ["method", "case", "at"], ["method", "at"]):
        frame = frame.groupby(keys, sort=False)[["recall", "precision"]].mean().reset_index()
    return frame


def _on_grid(curve: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    recall = curve["recall"].to_numpy()
    # Where the curve rises straight up, `interp` gives the upper end, and lines end at the lower.
    at_rate = np.interp(GRID, curve["false_positive_rate"].to_numpy(), recall)
    # The first point, at which nothing is chosen, reaches no recall.
    places = 1 + np.searchsorted(recall[1:], GRID - 1e-12)
    return at_rate, curve["precision"].to_numpy()[places]
