"""tracr's names for what classes, methods and operators are and do here, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from knowncircuits.rasp.expressions import Encoding, Expression, SOp
from knowncircuits.rasp.selectors import Selector, SelectorAnd, SelectorNot, SelectorOr
from knowncircuits.rasp.values import Value

RASPExpr = Expression
E = TypeVar("E", bound=Expression)
S = TypeVar("S", bound=SOp)


def evaluate(expr: SOp | Selector, xs: Sequence[Value]) -> list[Value] | list[list[bool]]:
    """What an S-Op or a selector is on one input, as `expr(xs)`."""
    return expr(xs)


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
