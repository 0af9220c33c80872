"""What a program means: its value on a batch of inputs, without any transformer.

Every variable is a `Column`: integer codes into a table of the values that occur. Functions are
called once for each value (or pair of values) that occurs, never once for each position, so that a
hundred thousand inputs cost little more than one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from knowncircuits.errors import InputError, ProgramError
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Full,
    IndicesType,
    Map,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SelectorWidth,
    SequenceMap,
    SOp,
    TokensType,
    Value,
    is_categorical,
)

# Selections are [batch, query, key]; larger batches are cut so that one has at most so many cells.
MAX_CELLS = 4_000_000
NONE = -1


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


def as_number(value: Value) -> float:
    """A number or boolean as a float; raises ProgramError for anything else, and beyond floats."""
    if not isinstance(value, (bool, int, float)):
        raise ProgramError(f"expected a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ProgramError(
            f"an integer of {int(value).bit_length()} bits is out of range"
        ) from None


def canonical(x: Value) -> Value:
    """The simplest fraction within 1e-9 of a float, so that 0.1 + 0.2 and 0.3 are one value."""
    if not isinstance(x, float) or not math.isfinite(x) or x.is_integer():
        return x
    simple = float(Fraction(x).limit_denominator(10_000))
    return simple if abs(simple - x) < 1e-9 else x


def call(f: Callable[..., Any], name: str, *args: Value) -> Value:
    """`f(*args)`, checked: ProgramError, with the expression's name, for no usable value."""
    try:
        result = f(*args)
    except Exception as error:
        shown = ", ".join(map(repr, args))
        raise ProgramError(f"{name}: its function raised {error!r} on {shown}") from error
    if isinstance(result, np.generic):
        result = result.item()
    if isinstance(result, SOp) or not isinstance(
        result, (bool, int, float, str, tuple, type(None))
    ):
        raise ProgramError(
            f"{name}: expected a number, boolean, string, tuple or None, got {result!r} for {args}"
        )
    if isinstance(result, float) and np.isnan(result):
        raise ProgramError(f"{name}: its function gave NaN on {', '.join(map(repr, args))}")
    return result


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


class Interpreter:
    """Evaluates expressions on one batch, each once.

    `mixtures` gathers the categorical aggregates that averaged different values, each with the
    index of an input on which it did: the interpreter can do that, a compiled model can not.
    """

    def __init__(self, inputs: Column, *, causal: bool = False) -> None:
        self.inputs = inputs
        self.causal = causal
        self.mixtures: dict[SOp, int] = {}
        self._columns: dict[SOp, Column] = {}
        self._selections: dict[Selector, np.ndarray] = {}

    def column(self, expr: SOp) -> Column:
        """The value of an S-Op; raises ProgramError where it has none."""
        if expr not in self._columns:
            column = self._evaluate(expr)
            if not is_categorical(expr):
                column = _as_numbers(expr, column)
            self._columns[expr] = column
        return self._columns[expr]

    def selection(self, expr: Selector) -> Bool[np.ndarray, "batch query key"]:
        """What a selector selects; in a causal program nothing after the query."""
        if expr not in self._selections:
            self._selections[expr] = self._select(expr)
        return self._selections[expr]

    def _evaluate(self, expr: SOp) -> Column:
        shape = self.inputs.codes.shape
        if isinstance(expr, TokensType):
            return self.inputs
        if isinstance(expr, IndicesType):
            return Column(np.broadcast_to(np.arange(shape[1]), shape), tuple(range(shape[1])))
        if isinstance(expr, Full):
            fill = NONE if expr.fill is None else 0
            return Column(np.full(shape, fill), () if fill else (expr.fill,))
        if isinstance(expr, Map):
            return self._map(expr, expr.f, self.column(expr.inner))
        if isinstance(expr, SequenceMap):
            return self._map(expr, expr.f, self.column(expr.fst), self.column(expr.snd))
        if isinstance(expr, SelectorWidth):
            width = self.selection(expr.selector).sum(-1)
            return Column(width, tuple(range(shape[1] + 1)))
        if isinstance(expr, AggregateSum):
            return self._sum(expr)
        if isinstance(expr, Aggregate):
            return self._aggregate(expr)
        raise ProgramError(f"{expr.name}: {type(expr).__name__} has no evaluation")

    def _map(self, expr: SOp, f: Callable[..., Any], *arguments: Column) -> Column:
        """Call f once for each combination of values that occurs."""
        flat = [a.codes.reshape(-1) for a in arguments]
        present = np.all([codes != NONE for codes in flat], axis=0)
        combined = np.zeros(len(flat[0]), dtype=np.int64)
        for codes, argument in zip(flat, arguments, strict=True):
            combined = combined * max(len(argument.values), 1) + codes
        occurring, inverse = np.unique(combined[present], return_inverse=True)
        where = np.flatnonzero(present)
        first = np.zeros(len(occurring), dtype=np.int64)
        first[inverse[::-1]] = where[::-1]
        combinations = zip(
            *(
                [a.values[i] for i in codes[first]]
                for a, codes in zip(arguments, flat, strict=True)
            ),
            strict=True,
        )
        results = [call(f, expr.name, *args) for args in combinations]
        codes, values = tabulate(results)
        out = np.full(len(combined), NONE)
        out[where] = codes[inverse]
        return Column(out.reshape(self.inputs.codes.shape), values)

    def _select(self, expr: Selector) -> np.ndarray:
        selected: np.ndarray
        if isinstance(expr, SelectorAnd):
            selected = self.selection(expr.fst) & self.selection(expr.snd)
        elif isinstance(expr, SelectorOr):
            selected = self.selection(expr.fst) | self.selection(expr.snd)
        elif isinstance(expr, SelectorNot):
            selected = ~self.selection(expr.inner)
        elif isinstance(expr, Select):
            selected = self._primitive(expr)
        else:
            raise ProgramError(f"{expr.name}: {type(expr).__name__} has no evaluation")
        if self.causal:
            selected = selected & np.tri(selected.shape[1], dtype=bool)
        return selected

    def _primitive(self, expr: Select) -> np.ndarray:
        keys, queries = self.column(expr.keys), self.column(expr.queries)
        # The last row and column stand for None, which code -1 finds.
        table = np.zeros((len(queries.values) + 1, len(keys.values) + 1), dtype=bool)
        for q in np.unique(queries.codes[queries.codes != NONE]):
            for k in np.unique(keys.codes[keys.codes != NONE]):
                args = (keys.values[k], queries.values[q])
                table[q, k] = bool(call(expr.predicate, expr.name, *args))
        selected: np.ndarray = table[queries.codes[:, :, None], keys.codes[:, None, :]]
        return selected

    def _aggregate(self, expr: Aggregate) -> Column:
        selected, sop = self.selection(expr.selector), self.column(expr.sop)
        codes = np.broadcast_to(sop.codes[:, None, :], selected.shape)
        highest = np.where(selected, codes, -2).max(-1)
        lowest = np.where(selected, codes, len(sop.values)).min(-1)
        empty, mixed = highest == -2, (lowest < highest) & (highest > -2)
        values = list(sop.values)
        table = {v: i for i, v in enumerate(values)}

        def code(value: Value) -> int:
            if value is None:
                return NONE
            if value not in table:
                table[value] = len(values)
                values.append(value)
            return table[value]

        out = np.where(empty, code(expr.default), highest)
        if mixed.any():
            if is_categorical(expr):
                self.mixtures[expr] = int(np.flatnonzero(mixed.any(-1))[0])
            means = _means(expr, selected, sop)[mixed]
            _rounded, first, inverse = np.unique(
                _round(means, 10), return_index=True, return_inverse=True
            )
            new = np.array([code(canonical(float(x))) for x in means[first]])
            out[mixed] = new[inverse.reshape(-1)]
        return Column(out, tuple(values))

    def _sum(self, expr: AggregateSum) -> Column:
        selected, sop = self.selection(expr.selector), self.column(expr.sop)
        sums = _means(expr, selected, sop, divide=False)
        rounded, inverse = np.unique(_round(sums, 9), return_inverse=True)
        codes, values = tabulate(canonical(float(x)) for x in rounded)
        return Column(codes[inverse.reshape(sums.shape)], values)


def _as_numbers(expr: SOp, column: Column) -> Column:
    """A numerical variable holds floats, and only as precisely as `canonical` tells them apart."""
    try:
        numbers = [canonical(as_number(v)) for v in column.values]
    except ProgramError as error:
        raise ProgramError(f"{expr.name}: a numerical variable: {error}") from None
    codes, values = tabulate(numbers)
    return Column(np.append(codes, NONE)[column.codes], values)


def _means(
    expr: Aggregate | AggregateSum, selected: np.ndarray, sop: Column, *, divide: bool = True
) -> np.ndarray:
    try:
        numbers = sop.numbers()
    except ProgramError as error:
        raise ProgramError(f"{expr.name}: only numbers can be averaged: {error}") from None
    taken = np.where(selected, numbers[:, None, :], 0.0)
    if np.isnan(taken).any():
        raise ProgramError(f"{expr.name}: None cannot be averaged with other values")
    with np.errstate(over="ignore", invalid="ignore"):
        sums: np.ndarray = taken.sum(-1)
    if np.isnan(sums).any():
        raise ProgramError(f"{expr.name}: infinite numbers have no sum")
    return sums / np.maximum(selected.sum(-1), 1) if divide else sums


def _round(numbers: np.ndarray, digits: int) -> np.ndarray:
    """To so many digits; numbers so large that numpy cannot have none to lose."""
    with np.errstate(over="ignore"):
        rounded = numbers.round(digits)
    return np.where(np.isfinite(rounded), rounded, numbers)


def _chunks(inputs: Column) -> Iterable[Column]:
    n, seq = inputs.codes.shape
    step = max(1, MAX_CELLS // seq**2)
    return (Column(inputs.codes[i : i + step], inputs.values) for i in range(0, n, step))


def evaluate(program: SOp, inputs: Column, *, causal: bool = False) -> Column:
    """The program's value on a batch that is already encoded.

    Raises:
        ProgramError: where a function fails, or values that are no numbers would be averaged.
    """
    parts = [Interpreter(chunk, causal=causal).column(program) for chunk in _chunks(inputs)]
    codes, values = tabulate(v for part in parts for v in part.values)
    starts = np.cumsum([0, *(len(part.values) for part in parts)])
    lookups = [np.append(codes[a:b], NONE) for a, b in itertools.pairwise(starts)]
    merged = [look[part.codes] for look, part in zip(lookups, parts, strict=True)]
    return Column(np.concatenate(merged), values)


def interpret(
    program: SOp, inputs: Sequence[Sequence[Value]], *, causal: bool = False
) -> list[list[Value]]:
    """The program's value on a batch of inputs of one length.

    In a causal program no selector selects a position after the query.

    Raises:
        InputError: for an empty batch or inputs of different lengths.
        ProgramError: where the program has no value.
    """
    return evaluate(program, encode(inputs), causal=causal).decode()


def interpret_selector(
    selector: Selector, inputs: Sequence[Sequence[Value]], *, causal: bool = False
) -> list[list[list[bool]]]:
    """The selection on a batch of inputs of one length, [batch][query][key]."""
    selections: list[list[list[bool]]] = (
        Interpreter(encode(inputs), causal=causal).selection(selector).tolist()
    )
    return selections
