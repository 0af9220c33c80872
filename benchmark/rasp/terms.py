"""Every selector as a conjunction of terms: tables over one key and one query variable each.

One attention head adds up a score for each term, so a conjunction costs nothing. What is not one,
such as an `or` over different variables, becomes a single term over joint variables, whose values
are tuples; a SequenceMap computes them, one layer earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import Expression, SequenceMap, SOp
from knowncircuits.rasp.selectors import (
    ConstantSelector,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
)
from knowncircuits.rasp.values import Value, try_call

Holds = Callable[[Value, Value], bool]
Quantifier = Callable[[Iterable[bool]], bool]
V = TypeVar("V")  # what stands for a variable: an S-Op, or its step


@dataclass(frozen=True, eq=False)
class Term(Generic[V]):
    """`holds(key, query)` over a variable of keys and one of queries, either maybe None."""

    keys: V
    queries: V
    holds: Holds


class Conjunctions:
    """The terms of each selector. Joint variables are made once and shared."""

    def __init__(self) -> None:
        self._joint: dict[tuple[SOp, ...], SOp] = {}
        self._terms: dict[Selector, tuple[Term[SOp], ...]] = {}

    def terms(self, selector: Selector) -> tuple[Term[SOp], ...]:
        """The conjunction that a selector is; raises CompileError for one of unknown kind."""
        if selector not in self._terms:
            self._terms[selector] = _merge(self._split(selector))
        return self._terms[selector]

    def parts(self, expr: Expression) -> Sequence[Expression]:
        """What an S-Op is made of, selectors among them; of a selector, the S-Ops of its terms."""
        if isinstance(expr, Selector):
            return [sop for term in self.terms(expr) for sop in (term.keys, term.queries)]
        return expr.children

    def _split(self, selector: Selector) -> tuple[Term[SOp], ...]:
        match selector:
            case Select():
                return (_table(selector),)
            case ConstantSelector():
                return (_table(Select(selector.positions, selector.positions, selector.selects)),)
            case SelectorAnd():
                return self._split(selector.fst) + self._split(selector.snd)
            case SelectorOr():
                parts = (selector.fst, selector.snd)
                return (self._combine([_merge(self._split(part)) for part in parts], any),)
            case SelectorNot():
                terms = _merge(self._split(selector.inner))
                term = terms[0] if len(terms) == 1 else self._combine([terms], all)
                holds = term.holds
                return (Term(term.keys, term.queries, lambda k, q: not holds(k, q)),)
        raise CompileError([f"{selector.name}: cannot compile a {type(selector).__name__}"])

    def _combine(self, groups: list[tuple[Term[SOp], ...]], quantifier: Quantifier) -> Term[SOp]:
        """One term for `quantifier` over conjunctions, on the joint variables of their terms."""
        every = [term for group in groups for term in group]
        keys, queries = _places(t.keys for t in every), _places(t.queries for t in every)

        def holds(key: Value, query: Value) -> bool:
            key_parts, query_parts = _parts(key, len(keys)), _parts(query, len(queries))

            def part_holds(term: Term[SOp]) -> bool:
                return term.holds(key_parts[keys[term.keys]], query_parts[queries[term.queries]])

            return quantifier(all(map(part_holds, group)) for group in groups)

        return Term(self._tuple(tuple(keys)), self._tuple(tuple(queries)), holds)

    def _tuple(self, variables: tuple[SOp, ...]) -> SOp:
        """The variable whose values are tuples of these variables' values."""
        if len(variables) == 1:
            return variables[0]
        if variables not in self._joint:
            joint: SOp = variables[0]
            for n, variable in enumerate(variables[1:], start=1):
                joint = Joint(joint, n, variable)
            self._joint[variables] = joint
        return self._joint[variables]


class Joint(SequenceMap):
    """n variables and another as a tuple; unlike other maps it has a value where one is None."""

    default_name = "joint"

    def __init__(self, fst: SOp, n: int, snd: SOp) -> None:
        """`fst`: one variable, or the joint one of n."""

        def join(x: Any, y: Value) -> Value:
            parts = (*_parts(x, n), y)
            return None if parts == (None,) * (n + 1) else parts

        super().__init__(join, fst, snd)


def _table(select: Select) -> Term[SOp]:
    predicate, name = select.predicate, select.name

    def holds(key: Value, query: Value) -> bool:
        if key is None or query is None:
            return False
        return bool(try_call(predicate, name, key, query)[1])

    return Term(select.keys, select.queries, holds)


def _merge(terms: Iterable[Term[SOp]]) -> tuple[Term[SOp], ...]:
    """Terms over the same two variables become one."""
    grouped: dict[tuple[SOp, SOp], list[Holds]] = {}
    for term in terms:
        grouped.setdefault((term.keys, term.queries), []).append(term.holds)
    # Several passes ask for all pairs of values; a predicate is called once for each.
    return tuple(Term(*variables, cache(_all(group))) for variables, group in grouped.items())


def _all(group: list[Holds]) -> Holds:
    if len(group) == 1:
        return group[0]
    return lambda key, query: all(holds(key, query) for holds in group)


def _places(variables: Iterable[SOp]) -> dict[SOp, int]:
    """Different variables, each with its place among them."""
    return {variable: place for place, variable in enumerate(dict.fromkeys(variables))}


def _parts(value: Value, n: int) -> tuple[Value, ...]:
    if n == 1:
        return (value,)
    return (None,) * n if value is None else value  # type: ignore[return-value]
