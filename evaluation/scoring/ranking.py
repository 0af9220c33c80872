"""How well rankings tell true items from others, for many rankings of the same items at once.

Tied items are one threshold: no number depends on an order among them. The areas are those of
scikit-learn's `roc_auc_score` and `average_precision_score`, which take one ranking at a time.
What ties is decided by `at_resolution` before.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import RESOLUTION

Truth = Bool[np.ndarray, " item"]
Rankings = Float[np.ndarray, "*batch item"]
Numbers = Float[np.ndarray, "*batch"]


def at_resolution(values: Rankings, resolution: float = RESOLUTION) -> Rankings:
    """Scores as whole steps of a grid, by which they rank; those on one step are ties.

    A step is `resolution` times the largest magnitude of the vector (the last axis), and scores go
    to the nearest one. Being equal is so transitive, and no chain of neighbours makes a smooth
    vector one tie, as "nearer than a step" would. In turn, two scores at a border between steps are
    told apart however near they are. 0 is in the middle of its step: what lies within half a step
    of it, on either side, is 0. What the steps are does not depend on the truth.

    Args:
        values: any number of vectors, with or without signs.
        resolution: from 0, which leaves all as it is, to below 1.

    Raises InputError for another resolution.
    """
    check_resolution(resolution)
    if resolution == 0:
        return values
    largest = np.abs(values).max(-1, keepdims=True, initial=0.0)
    shares = np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)
    steps: np.ndarray = np.rint(shares / resolution)
    return steps


def check_resolution(resolution: float) -> None:
    """Raise InputError for a resolution that is not from 0 to below 1."""
    if not 0 <= resolution < 1:
        raise InputError(f"expected a resolution from 0 to below 1, got {resolution:g}")


def auroc(truth: Truth, rankings: Rankings) -> Numbers:
    """Area under the ROC curve: how often a true item outranks another one, ties counting half.

    NaN where the items are all true, or none is (Mann and Whitney, 1947: the area is U / (n m)).
    """
    n_true, n_false = _counts(truth)
    if not n_true or not n_false:
        return np.full(rankings.shape[:-1], np.nan)
    ranks = rankdata(rankings, axis=-1)[..., truth].sum(-1)
    return np.asarray((ranks - n_true * (n_true + 1) / 2) / (n_true * n_false))


def average_precision(truth: Truth, rankings: Rankings) -> Numbers:
    """Mean over true items of the precision among what ranks at least as high.

    This is the sum of precisions weighted by the steps in recall. NaN as for `auroc`.
    """
    n_true, n_false = _counts(truth)
    if not n_true or not n_false:
        return np.full(rankings.shape[:-1], np.nan)
    above = rankdata(-rankings, method="max", axis=-1)[..., truth]
    true_above = rankdata(-rankings[..., truth], method="max", axis=-1)
    return np.asarray((true_above / above).mean(-1))


def areas(truth: Truth, ranking: Float[np.ndarray, " item"]) -> dict[str, float]:
    """Both areas of one ranking, by name."""
    return {
        "auroc": float(auroc(truth, ranking)),
        "average_precision": float(average_precision(truth, ranking)),
    }


def precision_at(truth: Truth, rankings: Rankings, size: int) -> Numbers:
    """Expected precision of the `size` highest, where ties at the border are broken at random."""
    border = np.partition(rankings, -size, axis=-1)[..., -size, None]
    above, tied = rankings > border, rankings == border
    drawn = size - above.sum(-1)
    hits = (above & truth).sum(-1) + (tied & truth).sum(-1) / tied.sum(-1) * drawn
    return np.asarray(hits / size)


def _counts(truth: Truth) -> tuple[int, int]:
    n_true = int(truth.sum())
    return n_true, truth.size - n_true
