"""Divisions: methods with one setting and a bounded budget apart from those that may do anything.

*closed*: one setting of hyper-parameters for all models, and passes that were counted and stay
within a budget, the same for all models. *open*: anything. Methods of one budget compare with each
other; the open division shows what can be had.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

Budget: TypeAlias = Literal[10, 1_000, 100_000]
BUDGETS: tuple[Budget, ...] = get_args(Budget)  # passes for each pair, forward and backward


def most_passes(runs: Iterable[tuple[int | None, int | None]], n_pairs: int) -> float | None:
    """Passes for each pair in the run that took most; None where some were not counted.

    Args:
        runs: forward and backward passes of one example each.
        n_pairs: pairs in each run.
    """
    most = 0.0
    for forward, backward in runs:
        if forward is None or backward is None:
            return None
        most = max(most, (forward + backward) / n_pairs)
    return most


def least_budget(passes: float | None) -> Budget | None:
    """The least budget that holds so many passes; None where none does, or none were counted."""
    return next((b for b in BUDGETS if passes is not None and passes <= b), None)
