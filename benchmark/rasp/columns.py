"""The values of variables on a batch of inputs: codes into a table of the values that occur.

Functions are called once for each value (or pair of values) that occurs, never once for each
position, so that a hundred thousand inputs cost little more than one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int

from knowncircuits.errors import InputError
from knowncircuits.rasp.values import Value, as_number

NONE = -1

Selection = Bool[np.ndarray, "batch query key"]


@dataclass(frozen=True)
class Column:
    """One variable on a batch: `values[codes]`, where code -1 stands for None."""

    codes: Int[np.ndarray, "batch seq"]
    values: tuple[Value, ...]

    def decode(self) -> list[list[Value]]:
        """The values themselves."""
        table = np.empty(len(self.values) + 1, dtype=object)
        table[:-1] = [_Cell(v) for v in self.values]  # cells keep numpy from unpacking tuples
        table[-1] = _Cell(None)
        return [[cell.value for cell in row] for row in table[self.codes]]

    def numbers(self) -> np.ndarray:
        """The values as floats, NaN for None; ProgramError for values that are no numbers."""
        table = np.array([*map(as_number, self.values), np.nan])
        numbers: np.ndarray = table[self.codes]
        return numbers


@dataclass(frozen=True)
class _Cell:
    value: Value


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs of one length, and what each expression has been found to be on them."""

    inputs: Column
    causal: bool = False  # whether nothing after the query is selected
    columns: dict[Hashable, Column] = field(default_factory=dict)
    selections: dict[Hashable, Selection] = field(default_factory=dict)
    # The categorical aggregates that averaged different values, each with the index of an input on
    # which it did: the interpreter can do that, a compiled model can not.
    mixtures: dict[Hashable, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """How many inputs, of how many tokens."""
        n, length = self.inputs.codes.shape
        return n, length


def tabulate(values: Iterable[Value]) -> tuple[np.ndarray, tuple[Value, ...]]:
    """Codes and the table of distinct values (equal as in Python: True is 1); None is -1."""
    table: dict[Value, int] = {}
    codes = [NONE if v is None else table.setdefault(v, len(table)) for v in values]
    return np.array(codes, dtype=np.int64), tuple(table)


def encode(inputs: Sequence[Sequence[Value]]) -> Column:
    """A batch of sequences of one length; raises InputError otherwise."""
    lengths = {len(xs) for xs in inputs}
    if not lengths or 0 in lengths:
        raise InputError("expected at least one input of at least one token, got an empty one")
    if len(lengths) > 1:
        raise InputError(f"expected inputs of one length, got lengths {sorted(lengths)}")
    codes, values = tabulate(x for xs in inputs for x in xs)
    return Column(codes.reshape(len(inputs), -1), values)
