"""ROC and precision-recall curves of methods: the mean over draws, models and cases."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.runs.results import Result
from knowncircuits.evaluation.scoring.curves import GRID, precision_at, roc_at
from knowncircuits.evaluation.scoring.views import view_circuit


def mean_curves(
    results: Iterable[Result], view: str = "edge", *, resolution: float = RESOLUTION
) -> pd.DataFrame:
    """The mean ROC and precision-recall curve of each method: over draws, models, then cases.

    Averaged at each false positive rate of a grid (recall, see `roc_at`) and at each recall of it
    (precision of the first threshold that reaches it, as average precision has it).

    Returns columns method, at (the rate or recall of the grid), recall, precision.
    """
    rows = []
    for result in results:
        seen = view_circuit(result.circuit, view)
        if seen.truth.all() or not seen.truth.any():
            continue
        ranks = seen.select(result.scores.ranks(resolution))[None]
        on_grid = roc_at(seen.truth, ranks)[0], precision_at(seen.truth, ranks)[0]
        rows.append((result.label, result.case, result.variant, *on_grid))
    names = ["method", "case", "variant", "recall", "precision"]
    frame = pd.DataFrame(rows, columns=names)
    frame = frame.explode(["recall", "precision"])  # a row for each place of the grid
    frame["at"] = np.tile(GRID, len(rows))
    frame = frame.astype({"recall": float, "precision": float})
    for keys in (["method", "case", "variant", "at"], ["method", "case", "at"], ["method", "at"]):
        frame = frame.groupby(keys, sort=False)[["recall", "precision"]].mean().reset_index()
    return frame
