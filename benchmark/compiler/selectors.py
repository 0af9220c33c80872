"""Pass 1: every selector as a conjunction of tables over one key and one query variable each.

One attention head adds up a score for each term, so a conjunction costs nothing. What is not one,
such as an `or` over different variables, becomes a single term over joint variables, whose values
are tuples; a SequenceMap computes them, one layer earlier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import (
    Expression,
    LinearSequenceMap,
    Map,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SequenceMap,
    SOp,
    UnaryFunction,
    Value,
)

Holds = Callable[[Value, Value], bool]


@dataclass(frozen=True)
class Term:
    """`holds(key, query)` over a variable of keys and one of queries, either maybe None."""

    keys: SOp
    queries: SOp
    holds: Holds
    name: str


def as_map(expr: Expression) -> tuple[SOp, UnaryFunction] | None:
    """The one variable that an S-Op is a function of, and the function; None for other S-Ops.

    A SequenceMap of a variable with itself is such a function too, but for a linear one, for which
    units are had that need no table of values.
    """
    if isinstance(expr, Map):
        return expr.inner, expr.f
    linear = isinstance(expr, LinearSequenceMap)
    if isinstance(expr, SequenceMap) and not linear and expr.fst is expr.snd:
        pair = expr.f
        return expr.fst, lambda x: pair(x, x)
    return None


class SelectorPass:
    """Terms of each selector. Joint variables are made once and shared."""

    def __init__(self) -> None:
        self._joint: dict[tuple[int, ...], SOp] = {}
        self._terms: dict[int, tuple[Term, ...]] = {}
        self._kept: list[Selector] = []

    def terms(self, selector: Selector) -> tuple[Term, ...]:
        """The conjunction that a selector is."""
        if id(selector) not in self._terms:
            self._kept.append(selector)
            self._terms[id(selector)] = self._merge(self._split(selector))
        return self._terms[id(selector)]

    def reads(self, expr: Expression) -> tuple[Expression, ...]:
        """The S-Ops that an S-Op's component reads, or a selector's."""
        if isinstance(expr, Selector):
            return tuple(v for term in self.terms(expr) for v in (term.keys, term.queries))
        mapped = as_map(expr)
        return tuple(expr.children) if mapped is None else (mapped[0],)

    def _split(self, selector: Selector) -> tuple[Term, ...]:
        if isinstance(selector, Select):
            predicate, name = selector.predicate, selector.name

            def holds(key: Value, query: Value) -> bool:
                return key is not None and query is not None and bool(predicate(key, query))

            return (Term(selector.keys, selector.queries, holds, name),)
        if isinstance(selector, SelectorAnd):
            return self._split(selector.fst) + self._split(selector.snd)
        if isinstance(selector, SelectorNot):
            term = self._single(self._merge(self._split(selector.inner)))
            inner = term.holds
            return (Term(term.keys, term.queries, lambda k, q: not inner(k, q), selector.name),)
        if isinstance(selector, SelectorOr):
            terms = self._merge(self._split(selector.fst)), self._merge(self._split(selector.snd))
            return (self._combine(list(terms), any, selector.name),)
        raise CompileError([f"{selector.name}: cannot compile a {type(selector).__name__}"])

    def _merge(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        """Terms over the same two variables become one."""
        grouped: dict[tuple[int, int], list[Term]] = {}
        for term in terms:
            grouped.setdefault((id(term.keys), id(term.queries)), []).append(term)
        # Several passes ask for all pairs of values; a predicate is called once for each.
        return tuple(
            Term(group[0].keys, group[0].queries, cache(_all(group)), group[0].name)
            for group in grouped.values()
        )

    def _single(self, terms: tuple[Term, ...]) -> Term:
        return terms[0] if len(terms) == 1 else self._combine([terms], all, terms[0].name)

    def _combine(
        self, groups: list[tuple[Term, ...]], quantifier: Callable[[Any], bool], name: str
    ) -> Term:
        """One term for `quantifier` over conjunctions, on the joint variables of their terms."""
        every = [term for group in groups for term in group]
        keys, queries = _distinct([t.keys for t in every]), _distinct([t.queries for t in every])
        places = {id(t): (_place(t.keys, keys), _place(t.queries, queries)) for t in every}

        def holds(key: Value, query: Value) -> bool:
            key_parts, query_parts = _parts(key, len(keys)), _parts(query, len(queries))
            return quantifier(
                all(
                    t.holds(key_parts[places[id(t)][0]], query_parts[places[id(t)][1]])
                    for t in group
                )
                for group in groups
            )

        return Term(self._tuple(keys), self._tuple(queries), holds, name)

    def _tuple(self, variables: list[SOp]) -> SOp:
        """The variable whose values are tuples of these variables' values."""
        if len(variables) == 1:
            return variables[0]
        key = tuple(map(id, variables))
        if key not in self._joint:
            joint: SOp = variables[0]
            for n, variable in enumerate(variables[1:], start=1):
                joint = Joint(joint, n, variable)
            self._joint[key] = joint
        return self._joint[key]


class Joint(SequenceMap):
    """n variables and another as a tuple; unlike other maps it has a value where one is None."""

    default_name = "joint"

    def __init__(self, fst: SOp, n: int, snd: SOp) -> None:
        """`fst`: one variable, or the joint one of n."""

        def join(x: Any, y: Value) -> Value:
            parts = (*_parts(x, n), y)
            return None if parts == (None,) * (n + 1) else parts

        super().__init__(join, fst, snd)


def _all(group: list[Term]) -> Holds:
    if len(group) == 1:
        return group[0].holds
    return lambda key, query: all(term.holds(key, query) for term in group)


def _distinct(variables: list[SOp]) -> list[SOp]:
    return list({id(v): v for v in variables}.values())


def _place(variable: SOp, variables: list[SOp]) -> int:
    return [id(v) for v in variables].index(id(variable))


def _parts(value: Value, n: int) -> tuple[Value, ...]:
    if n == 1:
        return (value,)
    return (None,) * n if value is None else value  # type: ignore[return-value]
