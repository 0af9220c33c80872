"""How well rankings tell true items from others, for many rankings of the same items at once.

Tied items are one threshold: no number depends on an order among them. The areas are those of
scikit-learn's `roc_auc_score` and `average_precision_score`, which take one ranking at a time.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

Truth = Bool[np.ndarray, " item"]
Rankings = Float[np.ndarray, "*batch item"]
Numbers = Float[np.ndarray, "*batch"]


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
