"""The RASP language: what is counted, averaged or summed over the positions of a selector."""

from __future__ import annotations

import numpy as np

from knowncircuits.errors import ProgramError
from knowncircuits.rasp.columns import NONE, Batch, Column, Selection, tabulate
from knowncircuits.rasp.expressions import Encoding, SOp, check_parts
from knowncircuits.rasp.selectors import Selector
from knowncircuits.rasp.values import Value, canonical


class SelectorWidth(SOp):
    """How many positions each query selects."""

    default_name = "selector_width"
    parts = ("selector",)

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        check_parts(self, Selector, selector)
        self.selector = selector

    def _evaluate(self, batch: Batch) -> Column:
        _, length = batch.shape
        return Column(self.selector.selection(batch).sum(-1), tuple(range(length + 1)))


class Aggregate(SOp):
    """The mean of an S-Op over the selected positions; `default` where nothing is selected.

    Values that cannot be averaged may be aggregated where all that is selected is equal.
    """

    default_name = "aggregate"
    parts = ("selector", "sop")

    def __init__(self, selector: Selector, sop: SOp, default: Value = None) -> None:
        super().__init__()
        check_parts(self, Selector, selector)
        check_parts(self, SOp, sop)
        self.selector = selector
        self.sop = sop
        self.default = default

    def _evaluate(self, batch: Batch) -> Column:
        selected, column = self.selector.selection(batch), self.sop.column(batch)
        codes = np.broadcast_to(column.codes[:, None, :], selected.shape)
        highest = np.where(selected, codes, -2).max(-1)
        lowest = np.where(selected, codes, len(column.values)).min(-1)
        empty, mixed = highest == -2, (lowest < highest) & (highest > -2)
        table = {value: code for code, value in enumerate(column.values)}
        if self.default is not None:
            table.setdefault(self.default, len(table))
        out = np.where(empty, table.get(self.default, NONE), highest)
        if mixed.any():
            if self.encoding is Encoding.CATEGORICAL:
                batch.mixtures[self] = int(np.flatnonzero(mixed.any(-1))[0])
            width = np.maximum(selected.sum(-1), 1)
            means = (_sums(column, selected, self.name) / width)[mixed]
            _, first, inverse = np.unique(
                _rounded(means, 10), return_index=True, return_inverse=True
            )
            values = [canonical(float(mean)) for mean in means[first]]
            new = np.array([table.setdefault(value, len(table)) for value in values])
            out[mixed] = new[inverse.reshape(-1)]
        return Column(out, tuple(table))


class AggregateSum(SOp):
    """The sum of a numeric S-Op over the selected positions; 0 where nothing is selected.

    tracr has no counterpart.
    """

    default_name = "aggregate_sum"
    parts = ("selector", "sop")

    def __init__(self, selector: Selector, sop: SOp) -> None:
        super().__init__()
        check_parts(self, Selector, selector)
        check_parts(self, SOp, sop)
        self.selector = selector
        self.sop = sop

    def _evaluate(self, batch: Batch) -> Column:
        selected, column = self.selector.selection(batch), self.sop.column(batch)
        total = _sums(column, selected, self.name)
        short, inverse = np.unique(_rounded(total, 9), return_inverse=True)
        codes, values = tabulate(canonical(float(x)) for x in short)
        return Column(codes[inverse.reshape(total.shape)], values)


def _sums(column: Column, selected: Selection, name: str) -> np.ndarray:
    """Over the selected positions; ProgramError for what is no number, or None."""
    try:
        numbers = column.numbers()
    except ProgramError as error:
        raise ProgramError(f"{name}: only numbers can be averaged: {error}") from None
    taken = np.where(selected, numbers[:, None, :], 0.0)
    if np.isnan(taken).any():
        raise ProgramError(f"{name}: None cannot be averaged with other values")
    with np.errstate(over="ignore", invalid="ignore"):
        total: np.ndarray = taken.sum(-1)
    if np.isnan(total).any():
        raise ProgramError(f"{name}: infinite numbers have no sum")
    return total


def _rounded(numbers: np.ndarray, digits: int) -> np.ndarray:
    """To so many digits; numbers so large that numpy cannot have none to lose."""
    with np.errstate(over="ignore"):
        short = numbers.round(digits)
    return np.where(np.isfinite(short), short, numbers)
