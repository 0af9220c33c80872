"""The RASP language: selectors, which key positions each query position selects."""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from knowncircuits.errors import ProgramError
from knowncircuits.rasp.columns import NONE, Batch, Column, Selection, encode
from knowncircuits.rasp.expressions import (
    Expression,
    SOp,
    check_function,
    check_length,
    check_parts,
    indices,
)
from knowncircuits.rasp.values import Value, call

Predicate = Callable[[Any, Any], bool]  # predicate(key, query)


class Comparison(enum.Enum):
    """Predicates for Select: `Comparison.LT(key, query)` is `key < query`."""

    EQ = "=="
    LT = "<"
    LEQ = "<="
    GT = ">"
    GEQ = ">="
    NEQ = "!="
    TRUE = "True"
    FALSE = "False"

    def __call__(self, key: Any, query: Any) -> bool:
        """Compare a key with a query, in this order."""
        return bool(_COMPARE[self](key, query))


_COMPARE: dict[Comparison, Predicate] = {
    Comparison.EQ: operator.eq,
    Comparison.LT: operator.lt,
    Comparison.LEQ: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GEQ: operator.ge,
    Comparison.NEQ: operator.ne,
    Comparison.TRUE: lambda key, query: True,
    Comparison.FALSE: lambda key, query: False,
}


class Selector(Expression):
    """Which key positions each query position selects. Combine with `&`, `|` and `~`."""

    instead_of_truth = (
        "write a & b for `a and b`, a | b for `a or b` and ~a for `not a`; for a chain of "
        "comparisons combine two Selects"
    )

    def __call__(self, xs: Sequence[Value], *, causal: bool = False) -> list[list[bool]]:
        """The selection on one input, as rows of queries over keys."""
        rows: list[list[bool]] = self.selection(Batch(encode([xs]), causal))[0].tolist()
        return rows

    def selection(self, batch: Batch) -> Selection:
        """What it selects on a batch; in a causal program nothing after the query."""
        if self not in batch.selections:
            selected = self._select(batch)
            if batch.causal:
                selected = selected & np.tri(selected.shape[1], dtype=bool)
            batch.selections[self] = selected
        return batch.selections[self]

    def _select(self, batch: Batch) -> Selection:
        """The selection among all positions: what a kind of selector means."""
        raise ProgramError(f"{self.name}: {type(self).__name__} has no evaluation")

    def __and__(self, other: Selector) -> Selector:
        return SelectorAnd(self, other)

    def __or__(self, other: Selector) -> Selector:
        return SelectorOr(self, other)

    def __invert__(self) -> Selector:
        return SelectorNot(self)


class Select(Selector):
    """Selects the keys for which `predicate(key, query)` holds; None selects nothing."""

    default_name = "select"
    parts = ("keys", "queries")

    def __init__(self, keys: SOp, queries: SOp, predicate: Predicate) -> None:
        super().__init__()
        check_parts(self, SOp, keys, queries)
        check_function(self, predicate)
        self.keys = keys
        self.queries = queries
        self.predicate = predicate

    def _select(self, batch: Batch) -> Selection:
        keys, queries = self.keys.column(batch), self.queries.column(batch)
        # The last row and column stand for None, which code -1 finds.
        table = np.zeros((len(queries.values) + 1, len(keys.values) + 1), dtype=bool)
        name, key_codes = self.name, _occurring(keys)
        for q in _occurring(queries):
            for k in key_codes:
                table[q, k] = bool(call(self.predicate, name, keys.values[k], queries.values[q]))
        selected: Selection = table[queries.codes[:, :, None], keys.codes[:, None, :]]
        return selected


class ConstantSelector(Selector):
    """Selects the same pairs of positions on every input, and nothing behind the last."""

    default_name = "constant_selector"
    parts = ("positions",)

    def __init__(self, value: Sequence[Sequence[bool]], check_length: bool = True) -> None:
        """`value`: rows of queries over keys, as many as there are keys.

        With `check_length`, it has no value on an input of another length: a ProgramError.

        Raises ProgramError for rows that are no square.
        """
        super().__init__()
        self.value = tuple(tuple(map(bool, row)) for row in value)
        widths = {len(row) for row in self.value}
        if widths != {len(self.value)}:
            raise ProgramError(
                f"ConstantSelector expected a square, got {len(self.value)} rows of "
                f"{' and '.join(map(str, sorted(widths))) or 'no'} keys"
            )
        self.check_length = check_length
        self.positions = indices

    def selects(self, key: int, query: int) -> bool:
        """Whether the query at a position selects the key at another."""
        return max(key, query) < len(self.value) and self.value[query][key]

    def _select(self, batch: Batch) -> Selection:
        if self.check_length:
            check_length(self, batch, len(self.value))
        n, length = batch.shape
        places = range(length)
        table = np.array([[self.selects(key, query) for key in places] for query in places])
        return np.broadcast_to(table, (n, length, length))


class _SelectorPair(Selector):
    """A combination of two selectors."""

    parts = ("fst", "snd")

    def __init__(self, fst: Selector, snd: Selector) -> None:
        super().__init__()
        check_parts(self, Selector, fst, snd)
        self.fst = fst
        self.snd = snd


class SelectorAnd(_SelectorPair):
    """Selects what both selectors select."""

    default_name = "selector_and"

    def _select(self, batch: Batch) -> Selection:
        selected: Selection = self.fst.selection(batch) & self.snd.selection(batch)
        return selected


class SelectorOr(_SelectorPair):
    """Selects what either selector selects."""

    default_name = "selector_or"

    def _select(self, batch: Batch) -> Selection:
        selected: Selection = self.fst.selection(batch) | self.snd.selection(batch)
        return selected


class SelectorNot(Selector):
    """Selects what the inner selector does not (within the causal mask)."""

    default_name = "selector_not"
    parts = ("inner",)

    def __init__(self, inner: Selector) -> None:
        super().__init__()
        check_parts(self, Selector, inner)
        self.inner = inner

    def _select(self, batch: Batch) -> Selection:
        return ~self.inner.selection(batch)


def _occurring(column: Column) -> list[int]:
    codes: list[int] = np.unique(column.codes[column.codes != NONE]).tolist()
    return codes
