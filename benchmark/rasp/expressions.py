"""The RASP language: expressions over sequences, and selectors between positions.

RASP is due to Weiss, Goldberg and Yahav, *Thinking Like Transformers* (2021). The names and
meanings are those of tracr (Lindner et al., 2023), so that a program written for tracr runs after
changing its import; composite selectors, any default, and `AggregateSum` go beyond it.
"""

from __future__ import annotations

import copy
import enum
import operator
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Self, TypeVar

from knowncircuits.errors import ProgramError

Value = Hashable  # None, numbers, booleans, strings and tuples of them
UnaryFunction = Callable[[Any], Value]
BinaryFunction = Callable[[Any, Any], Value]
Predicate = Callable[[Any, Any], bool]  # predicate(key, query)


class Encoding(enum.Enum):
    """How a variable lies in the residual stream: a direction for each value, or one for all."""

    CATEGORICAL = "categorical"
    NUMERICAL = "numerical"


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


class Expression:
    """A node of a program. Immutable: annotating makes a new one, with its own identity."""

    default_name = "expression"
    instead_of_truth = "a program has a value for each input only"

    def __init__(self) -> None:
        self.annotations: dict[str, Any] = {}

    @property
    def children(self) -> Sequence[Expression]:
        """What this expression is computed from."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The annotated name, or one after the kind of expression."""
        return str(self.annotations.get("name", self.default_name))

    def annotated(self, **annotations: Any) -> Self:
        """A new expression of the same meaning with more annotations.

        Raises ProgramError for an encoding that is none.
        """
        encoding = annotations.get("encoding", Encoding.CATEGORICAL)
        if not isinstance(encoding, Encoding):
            raise ProgramError(f"{self.name}: expected an Encoding, got {encoding!r}")
        new = copy.copy(self)
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


class SOp(Expression):
    """A sequence operation: its value is one value at each position.

    Operators build new S-Ops: `tokens == "x"`, `length - indices - 1`, `~flag`, `a & b`. As in
    tracr `&` and `|` are Python's `and` and `or`. None is passed through by every operation.
    """

    instead_of_truth = (
        "write a & b for `a and b`, a | b for `a or b`, ~a for `not a`, "
        "and (0 < a) & (a < 3) for `0 < a < 3`"
    )
    __hash__ = Expression.__hash__  # __eq__ builds a program, so identity is what hashes

    def __call__(self, xs: Sequence[Value], *, causal: bool = False) -> list[Value]:
        """Interpret the program on one input; raises ProgramError where it has no meaning."""
        from knowncircuits.rasp.interpreter import interpret

        return interpret(self, [xs], causal=causal)[0]

    @property
    def encoding(self) -> Encoding:
        """Categorical unless annotated."""
        encoding: Encoding = self.annotations.get("encoding", Encoding.CATEGORICAL)
        return encoding

    def _with(self, f: BinaryFunction, other: object) -> SOp:
        if isinstance(other, SOp):
            return SequenceMap(f, self, other)
        return Map(lambda x: f(x, other), self)

    def _from(self, f: BinaryFunction, other: object) -> SOp:
        return Map(lambda x: f(other, x), self)

    def __lt__(self, other: object) -> SOp:
        return self._with(operator.lt, other)

    def __le__(self, other: object) -> SOp:
        return self._with(operator.le, other)

    def __gt__(self, other: object) -> SOp:
        return self._with(operator.gt, other)

    def __ge__(self, other: object) -> SOp:
        return self._with(operator.ge, other)

    def __eq__(self, other: object) -> SOp:  # type: ignore[override]
        return self._with(operator.eq, other)

    def __ne__(self, other: object) -> SOp:  # type: ignore[override]
        return self._with(operator.ne, other)

    def __add__(self, other: object) -> SOp:
        return self._with(operator.add, other)

    def __radd__(self, other: object) -> SOp:
        return self._from(operator.add, other)

    def __sub__(self, other: object) -> SOp:
        return self._with(operator.sub, other)

    def __rsub__(self, other: object) -> SOp:
        return self._from(operator.sub, other)

    def __mul__(self, other: object) -> SOp:
        return self._with(operator.mul, other)

    def __rmul__(self, other: object) -> SOp:
        return self._from(operator.mul, other)

    def __truediv__(self, other: object) -> SOp:
        return self._with(operator.truediv, other)

    def __rtruediv__(self, other: object) -> SOp:
        return self._from(operator.truediv, other)

    def __floordiv__(self, other: object) -> SOp:
        return self._with(operator.floordiv, other)

    def __mod__(self, other: object) -> SOp:
        return self._with(operator.mod, other)

    def __neg__(self) -> SOp:
        return Map(operator.neg, self)

    def __invert__(self) -> SOp:
        return Map(operator.not_, self)

    def __and__(self, other: object) -> SOp:
        return self._with(lambda x, y: x and y, other)

    def __rand__(self, other: object) -> SOp:
        return self._from(lambda x, y: x and y, other)

    def __or__(self, other: object) -> SOp:
        return self._with(lambda x, y: x or y, other)

    def __ror__(self, other: object) -> SOp:
        return self._from(lambda x, y: x or y, other)


class TokensType(SOp):
    """The input itself."""

    default_name = "tokens"

    @property
    def children(self) -> Sequence[Expression]:
        """None: a leaf."""
        return ()


class IndicesType(SOp):
    """The position of each token, from 0."""

    default_name = "indices"

    @property
    def children(self) -> Sequence[Expression]:
        """None: a leaf."""
        return ()


class Full(SOp):
    """The same value everywhere."""

    default_name = "full"

    def __init__(self, fill: Value) -> None:
        super().__init__()
        self.fill = fill

    @property
    def children(self) -> Sequence[Expression]:
        """None: a leaf."""
        return ()


class Map(SOp):
    """A function of one S-Op, position by position."""

    default_name = "map"

    def __init__(self, f: UnaryFunction, inner: SOp, simplify: bool = True) -> None:
        """With `simplify`, a Map of a Map becomes one Map of the composed function."""
        super().__init__()
        _check_function(self, f)
        _check(self, SOp, inner)
        self.f = f
        self.inner = inner
        if simplify and isinstance(inner, Map):
            self.f = _compose(f, inner.f)
            self.inner = inner.inner

    @property
    def children(self) -> Sequence[Expression]:
        """The mapped S-Op."""
        return (self.inner,)


class SequenceMap(SOp):
    """A function of two S-Ops, position by position."""

    default_name = "sequence_map"

    def __init__(self, f: BinaryFunction, fst: SOp, snd: SOp) -> None:
        super().__init__()
        _check_function(self, f)
        _check(self, SOp, fst, snd)
        self.f = f
        self.fst = fst
        self.snd = snd

    @property
    def children(self) -> Sequence[Expression]:
        """The two S-Ops, in the order of f's arguments."""
        return (self.fst, self.snd)


class LinearSequenceMap(SequenceMap):
    """`fst_fac * fst + snd_fac * snd` of two numerical S-Ops."""

    default_name = "linear_sequence_map"

    def __init__(self, fst: SOp, snd: SOp, fst_fac: float, snd_fac: float) -> None:
        super().__init__(lambda x, y: fst_fac * x + snd_fac * y, fst, snd)
        self.fst_fac = fst_fac
        self.snd_fac = snd_fac


class Selector(Expression):
    """Which key positions each query position selects. Combine with `&`, `|` and `~`."""

    instead_of_truth = (
        "write a & b for `a and b`, a | b for `a or b` and ~a for `not a`; for a chain of "
        "comparisons combine two Selects"
    )

    def __call__(self, xs: Sequence[Value], *, causal: bool = False) -> list[list[bool]]:
        """The selection on one input, as rows of queries over keys."""
        from knowncircuits.rasp.interpreter import interpret_selector

        return interpret_selector(self, [xs], causal=causal)[0]

    def __and__(self, other: Selector) -> Selector:
        return SelectorAnd(self, other)

    def __or__(self, other: Selector) -> Selector:
        return SelectorOr(self, other)

    def __invert__(self) -> Selector:
        return SelectorNot(self)


class Select(Selector):
    """Selects the keys for which `predicate(key, query)` holds; None selects nothing."""

    default_name = "select"

    def __init__(self, keys: SOp, queries: SOp, predicate: Predicate) -> None:
        super().__init__()
        _check(self, SOp, keys, queries)
        _check_function(self, predicate)
        self.keys = keys
        self.queries = queries
        self.predicate = predicate

    @property
    def children(self) -> Sequence[Expression]:
        """Keys, then queries."""
        return (self.keys, self.queries)


class _SelectorPair(Selector):
    """A combination of two selectors."""

    def __init__(self, fst: Selector, snd: Selector) -> None:
        super().__init__()
        _check(self, Selector, fst, snd)
        self.fst = fst
        self.snd = snd

    @property
    def children(self) -> Sequence[Expression]:
        """The two selectors."""
        return (self.fst, self.snd)


class SelectorAnd(_SelectorPair):
    """Selects what both selectors select."""

    default_name = "selector_and"


class SelectorOr(_SelectorPair):
    """Selects what either selector selects."""

    default_name = "selector_or"


class SelectorNot(Selector):
    """Selects what the inner selector does not (within the causal mask)."""

    default_name = "selector_not"

    def __init__(self, inner: Selector) -> None:
        super().__init__()
        _check(self, Selector, inner)
        self.inner = inner

    @property
    def children(self) -> Sequence[Expression]:
        """The selector that is inverted."""
        return (self.inner,)


class SelectorWidth(SOp):
    """How many positions each query selects."""

    default_name = "selector_width"

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        _check(self, Selector, selector)
        self.selector = selector

    @property
    def children(self) -> Sequence[Expression]:
        """The selector."""
        return (self.selector,)


class Aggregate(SOp):
    """The mean of an S-Op over the selected positions; `default` where nothing is selected.

    Values that cannot be averaged may be aggregated where all that is selected is equal.
    """

    default_name = "aggregate"

    def __init__(self, selector: Selector, sop: SOp, default: Value = None) -> None:
        super().__init__()
        _check(self, Selector, selector)
        _check(self, SOp, sop)
        self.selector = selector
        self.sop = sop
        self.default = default

    @property
    def children(self) -> Sequence[Expression]:
        """The selector, then what it aggregates."""
        return (self.selector, self.sop)


class AggregateSum(SOp):
    """The sum of a numeric S-Op over the selected positions; 0 where nothing is selected.

    tracr has no counterpart.
    """

    default_name = "aggregate_sum"

    def __init__(self, selector: Selector, sop: SOp) -> None:
        super().__init__()
        _check(self, Selector, selector)
        _check(self, SOp, sop)
        self.selector = selector
        self.sop = sop

    @property
    def children(self) -> Sequence[Expression]:
        """The selector, then what it sums."""
        return (self.selector, self.sop)


tokens = TokensType()
indices = IndicesType()

E = TypeVar("E", bound=Expression)
S = TypeVar("S", bound=SOp)


def annotate(expr: E, **annotations: Any) -> E:
    """A new expression of the same meaning with more annotations."""
    return expr.annotated(**annotations)


def numerical(sop: S) -> S:
    """The same S-Op, held as a number along one direction."""
    return sop.annotated(encoding=Encoding.NUMERICAL)


def categorical(sop: S) -> S:
    """The same S-Op, held as a direction for each value."""
    return sop.annotated(encoding=Encoding.CATEGORICAL)


def is_numerical(sop: SOp) -> bool:
    """Whether the S-Op is numerically encoded."""
    return sop.encoding is Encoding.NUMERICAL


def is_categorical(sop: SOp) -> bool:
    """Whether the S-Op is categorically encoded."""
    return sop.encoding is Encoding.CATEGORICAL


def get_encoding(sop: SOp) -> Encoding:
    """The S-Op's encoding."""
    return sop.encoding


def sop_not(sop: SOp) -> SOp:
    """Python's `not`, position by position."""
    return ~sop


def selector_and(fst: Selector, snd: Selector, simplify: bool = True) -> Selector:
    """`fst & snd`; the compiler merges what can be merged, whatever `simplify` says."""
    return SelectorAnd(fst, snd)


def selector_or(fst: Selector, snd: Selector, simplify: bool = True) -> Selector:
    """`fst | snd`; `simplify` as in `selector_and`."""
    return SelectorOr(fst, snd)


def selector_not(inner: Selector, simplify: bool = True) -> Selector:
    """`~inner`; `simplify` as in `selector_and`."""
    return SelectorNot(inner)


def _compose(outer: UnaryFunction, inner: UnaryFunction) -> UnaryFunction:
    def composed(x: Any) -> Value:
        y = inner(x)
        return None if y is None else outer(y)

    return composed


def _check(owner: Expression, kind: type[Expression], *parts: object) -> None:
    for part in parts:
        if not isinstance(part, kind):
            raise ProgramError(
                f"{type(owner).__name__} expected {kind.__name__}, "
                f"got {type(part).__name__} {part!r}"
            )


def _check_function(owner: Expression, f: object) -> None:
    if not callable(f) or isinstance(f, Expression):
        raise ProgramError(f"{type(owner).__name__} expected a function, got {f!r}")
