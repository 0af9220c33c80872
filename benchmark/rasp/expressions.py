"""The RASP language: sequence operations, and what each means on a batch of inputs.

RASP is due to Weiss, Goldberg and Yahav, *Thinking Like Transformers* (2021). The names and
meanings are those of tracr (Lindner et al., 2023), so that a program written for tracr runs after
changing its import; composite selectors, any default, `AggregateSum` and
`NarySequenceMap` go beyond it.
"""

from __future__ import annotations

import copy
import enum
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from knowncircuits.errors import ProgramError
from knowncircuits.rasp.columns import NONE, Batch, Column, encode, tabulate
from knowncircuits.rasp.values import Value, as_number, call, canonical

UnaryFunction = Callable[[Any], Value]
BinaryFunction = Callable[[Any, Any], Value]


class Encoding(enum.Enum):
    """How a variable lies in the residual stream: a direction for each value, or one for all."""

    CATEGORICAL = "categorical"
    NUMERICAL = "numerical"


class Expression:
    """A node of a program. Immutable: annotating makes a new one, with its own identity."""

    default_name: ClassVar[str] = "expression"
    parts: ClassVar[tuple[str, ...]] = ()  # the attributes that are expressions, in their order
    instead_of_truth: ClassVar[str] = "a program has a value for each input only"
    _numbers: ClassVar[Iterator[int]] = itertools.count(1)

    def __init__(self) -> None:
        self.annotations: dict[str, Any] = {}
        self.unique_id = next(self._numbers)  # of this expression alone

    @property
    def children(self) -> Sequence[Expression]:
        """What this expression is computed from; empty for a leaf."""
        return [getattr(self, part) for part in self.parts]

    @property
    def name(self) -> str:
        """The annotated name, or one after the kind of expression."""
        return str(self.annotations.get("name", self.default_name))

    @property
    def label(self) -> str:
        """The annotated label, or the name with this expression's number."""
        return str(self.annotations.get("label", f"{self.name}_{self.unique_id}"))

    def copy(self) -> Self:
        """A new expression of the same parts, name and other annotations."""
        new = copy.copy(self)
        new.unique_id = next(self._numbers)
        return new

    def annotated(self, **annotations: Any) -> Self:
        """A new expression of the same meaning with more annotations.

        Raises ProgramError for an encoding that is none.
        """
        encoding = annotations.get("encoding", Encoding.CATEGORICAL)
        if not isinstance(encoding, Encoding):
            raise ProgramError(f"{self.name}: expected an Encoding, got {encoding!r}")
        new = self.copy()
        new.annotations = {**self.annotations, **annotations}
        return new

    def named(self, name: str) -> Self:
        """A new expression of the same meaning with this name."""
        return self.annotated(name=name)

    def __bool__(self) -> bool:
        """No truth value: Python asks for one in `a and b`, `not a` and `0 < a < 3`."""
        raise TypeError(f"{self!r} is neither true nor false: {self.instead_of_truth}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def _operator(f: BinaryFunction) -> Callable[[SOp, object], SOp]:
    """The method by which an S-Op and another, or a constant, are a new one."""

    def method(self: SOp, other: object) -> SOp:
        if isinstance(other, SOp):
            return SequenceMap(f, self, other)
        return Map(WithConstant(f, other), self)

    return method


def _reflected(f: BinaryFunction) -> Callable[[SOp, object], SOp]:
    """The method by which a constant and an S-Op, in this order, are a new one."""
    return lambda self, other: Map(WithConstant(f, other, constant_first=True), self)


@dataclass(frozen=True, eq=False)
class WithConstant:
    """A function of two as a function of one. A class, so that a program can be shown in words."""

    f: BinaryFunction
    constant: object
    constant_first: bool = False

    def __call__(self, x: Any) -> Value:
        """The function's value."""
        return self.f(self.constant, x) if self.constant_first else self.f(x, self.constant)


@dataclass(frozen=True, eq=False)
class Composed:
    """A function of what another one gives; None is passed through."""

    outer: UnaryFunction
    inner: UnaryFunction

    def __call__(self, x: Any) -> Value:
        """The outer function's value."""
        y = self.inner(x)
        return None if y is None else self.outer(y)


class SOp(Expression):
    """A sequence operation: its value is one value at each position.

    Operators build new S-Ops: `tokens == "x"`, `length - indices - 1`, `~flag`, `a & b`. As in
    tracr `&` and `|` are Python's `and` and `or`. None is passed through by every operation.
    """

    instead_of_truth = (
        "write a & b for `a and b`, a | b for `a or b`, ~a for `not a`, "
        "and (0 < a) & (a < 3) for `0 < a < 3`"
    )
    # __eq__ builds a program, so identity is what hashes: a dict tells S-Ops apart by that alone.
    __hash__ = Expression.__hash__

    def __call__(self, xs: Sequence[Value], *, causal: bool = False) -> list[Value]:
        """Interpret the program on one input; raises ProgramError where it has no meaning."""
        return self.column(Batch(encode([xs]), causal)).decode()[0]

    def column(self, batch: Batch) -> Column:
        """Its value on a batch; raises ProgramError where it has none."""
        if self not in batch.columns:
            column = self._evaluate(batch)
            if self.encoding is Encoding.NUMERICAL:
                column = _as_numerical(column, self.name)
            batch.columns[self] = column
        return batch.columns[self]

    def _evaluate(self, batch: Batch) -> Column:
        """The value before it is encoded: what a kind of S-Op means."""
        raise ProgramError(f"{self.name}: {type(self).__name__} has no evaluation")

    @property
    def encoding(self) -> Encoding:
        """Categorical unless annotated."""
        encoding: Encoding = self.annotations.get("encoding", Encoding.CATEGORICAL)
        return encoding

    __lt__ = _operator(operator.lt)
    __le__ = _operator(operator.le)
    __gt__ = _operator(operator.gt)
    __ge__ = _operator(operator.ge)
    __eq__ = _operator(operator.eq)  # type: ignore[assignment]
    __ne__ = _operator(operator.ne)  # type: ignore[assignment]
    __add__ = _operator(operator.add)
    __radd__ = _reflected(operator.add)
    __sub__ = _operator(operator.sub)
    __rsub__ = _reflected(operator.sub)
    __mul__ = _operator(operator.mul)
    __rmul__ = _reflected(operator.mul)
    __truediv__ = _operator(operator.truediv)
    __rtruediv__ = _reflected(operator.truediv)
    __floordiv__ = _operator(operator.floordiv)
    __mod__ = _operator(operator.mod)
    __and__ = _operator(lambda x, y: x and y)
    __rand__ = _reflected(lambda x, y: x and y)
    __or__ = _operator(lambda x, y: x or y)
    __ror__ = _reflected(lambda x, y: x or y)

    def __neg__(self) -> SOp:
        return Map(operator.neg, self)

    def __invert__(self) -> SOp:
        return Map(operator.not_, self)


class TokensType(SOp):
    """The input itself."""

    default_name = "tokens"

    def _evaluate(self, batch: Batch) -> Column:
        return batch.inputs


class IndicesType(SOp):
    """The position of each token, from 0."""

    default_name = "indices"

    def _evaluate(self, batch: Batch) -> Column:
        _, length = batch.shape
        return Column(np.broadcast_to(np.arange(length), batch.shape), tuple(range(length)))


class Full(SOp):
    """The same value everywhere."""

    default_name = "full"

    def __init__(self, fill: Value) -> None:
        super().__init__()
        self.fill = fill

    def _evaluate(self, batch: Batch) -> Column:
        if self.fill is None:
            return Column(np.full(batch.shape, NONE), ())
        return Column(np.full(batch.shape, 0), (self.fill,))


class ConstantSOp(SOp):
    """The same values on every input, one for each position; None behind the last."""

    default_name = "constant_sop"
    parts = ("positions",)

    def __init__(self, value: Sequence[Value], check_length: bool = True) -> None:
        """With `check_length`, it has no value on an input of another length: a ProgramError."""
        super().__init__()
        self.value = tuple(value)
        self.check_length = check_length
        self.positions = indices

    def at(self, position: int) -> Value:
        """The value at a position."""
        return self.value[position] if position < len(self.value) else None

    def _evaluate(self, batch: Batch) -> Column:
        if self.check_length:
            check_length(self, batch, len(self.value))
        return _mapped(self.at, self.name, self.positions.column(batch))


class Map(SOp):
    """A function of one S-Op, position by position."""

    default_name = "map"
    parts = ("inner",)

    def __init__(self, f: UnaryFunction, inner: SOp, simplify: bool = True) -> None:
        """With `simplify`, a Map of a Map becomes one Map of the composed function."""
        super().__init__()
        check_function(self, f)
        check_parts(self, SOp, inner)
        self.f = f
        self.inner = inner
        if simplify and isinstance(inner, Map):
            self.f = Composed(f, inner.f)
            self.inner = inner.inner

    def _evaluate(self, batch: Batch) -> Column:
        return _mapped(self.f, self.name, self.inner.column(batch))


class SequenceMap(SOp):
    """A function of two S-Ops, position by position."""

    default_name = "sequence_map"
    parts = ("fst", "snd")  # in the order of f's arguments

    def __init__(self, f: BinaryFunction, fst: SOp, snd: SOp) -> None:
        super().__init__()
        check_function(self, f)
        check_parts(self, SOp, fst, snd)
        self.f = f
        self.fst = fst
        self.snd = snd

    def _evaluate(self, batch: Batch) -> Column:
        return _mapped(self.f, self.name, self.fst.column(batch), self.snd.column(batch))


class NarySequenceMap(SOp):
    """A function of any number of S-Ops, position by position.

    tracr has no counterpart: its `make_nary_sequencemap` is a chain of functions of two.
    """

    default_name = "nary_sequence_map"

    def __init__(self, f: Callable[..., Value], *sops: SOp) -> None:
        """Raises ProgramError for no function, no S-Op, or parts that are none."""
        super().__init__()
        check_function(self, f)
        check_parts(self, SOp, *sops)
        if not sops:
            raise ProgramError("NarySequenceMap expected at least one S-Op, got none")
        self.f = f
        self.sops = sops

    @property
    def children(self) -> Sequence[SOp]:
        """The S-Ops, in the order of the function's arguments."""
        return self.sops

    def _evaluate(self, batch: Batch) -> Column:
        return _mapped(self.f, self.name, *(sop.column(batch) for sop in self.sops))


class LinearSequenceMap(SequenceMap):
    """`fst_fac * fst + snd_fac * snd` of two numerical S-Ops."""

    default_name = "linear_sequence_map"

    def __init__(self, fst: SOp, snd: SOp, fst_fac: float, snd_fac: float) -> None:
        super().__init__(lambda x, y: fst_fac * x + snd_fac * y, fst, snd)
        self.fst_fac = fst_fac
        self.snd_fac = snd_fac


tokens = TokensType().annotated(label=TokensType.default_name)
indices = IndicesType().annotated(label=IndicesType.default_name)


def check_parts(owner: Expression, kind: type[Expression], *parts: object) -> None:
    """Raise ProgramError for a part of another kind."""
    for part in parts:
        if not isinstance(part, kind):
            raise ProgramError(
                f"{type(owner).__name__} expected {kind.__name__}, "
                f"got {type(part).__name__} {part!r}"
            )


def check_length(owner: Expression, batch: Batch, length: int) -> None:
    """Raise ProgramError for inputs of another length than a constant has."""
    _, found = batch.shape
    if found != length:
        raise ProgramError(
            f"{owner.name}: expected an input of {length} tokens, as long as the constant, got "
            f"{found}; check_length=False takes any"
        )


def check_function(owner: Expression, f: object) -> None:
    """Raise ProgramError for what cannot be called."""
    if not callable(f) or isinstance(f, Expression):
        raise ProgramError(f"{type(owner).__name__} expected a function, got {f!r}")


def _as_numerical(column: Column, name: str) -> Column:
    """A numerical variable holds floats, and only as precisely as `canonical` tells them apart."""
    try:
        numbers = [canonical(as_number(v)) for v in column.values]
    except ProgramError as error:
        raise ProgramError(f"{name}: a numerical variable: {error}") from None
    codes, values = tabulate(numbers)
    return Column(np.append(codes, NONE)[column.codes], values)


def _mapped(f: Callable[..., Any], name: str, *arguments: Column) -> Column:
    """A function of columns, called once for each combination of values that occurs."""
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
        *([a.values[i] for i in codes[first]] for a, codes in zip(arguments, flat, strict=True)),
        strict=True,
    )
    results = [call(f, name, *args) for args in combinations]
    codes, values = tabulate(results)
    out = np.full(len(combined), NONE)
    out[where] = codes[inverse]
    return Column(out.reshape(arguments[0].codes.shape), values)
