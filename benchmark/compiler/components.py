"""Pass 5: each S-Op as the weights of an attention head or of a part of an MLP.

The residual stream has a direction for each value of a categorical variable and one for a numerical
variable; None is the zero vector. Two directions are constants of the embedding: `one`, everywhere
1, and `tokens:BOS`. BOS attends to itself alone, so what every variable holds there is known here,
and where BOS serves as the position to attend to when nothing is selected, it is accounted for
exactly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from knowncircuits.compiler.selectors import Joint, Term
from knowncircuits.compiler.values import (
    Domain,
    argument_matters,
    reachable_sums,
    term_matters,
    try_call,
)
from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Encoding,
    Full,
    LinearSequenceMap,
    SelectorWidth,
    SequenceMap,
    SOp,
    Value,
)

# A selected key scores this much more than one that is not: exp(-50) of the weight goes astray.
COLDNESS = 100.0
# In a sum, BOS weighs as much as so many selected keys, which makes the mean nearly linear in it.
SUM_DILUTION = 10_000.0
# Numbers closer than this, relative to the largest, are not told apart by float32 arithmetic.
MIN_GAP = 1e-5


@dataclass(frozen=True)
class Variable:
    """A variable and its place: which node writes it, along which residual directions."""

    name: str
    node: str
    encoding: Encoding
    values: tuple[Value, ...]  # of a categorical variable, one for each direction
    directions: tuple[int, ...]
    nullable: bool = False
    varies: bool = True  # between inputs of one length
    at_bos: Value = None  # what it holds at BOS

    @property
    def numerical(self) -> bool:
        """Whether it is a number along one direction."""
        return self.encoding is Encoding.NUMERICAL

    @cached_property
    def direction_of(self) -> dict[Value, int]:
        """The direction of each value of a categorical variable."""
        return dict(zip(self.values, self.directions, strict=True))


@dataclass(frozen=True)
class Read:
    """That a component's input reads a variable; `matters`: its value makes a difference there."""

    variable: Variable
    matters: bool


@dataclass
class Weights:
    """A linear map between residual directions and a component's own dimensions, by entries."""

    size: int = 0
    entries: dict[tuple[int, int], float] = field(default_factory=dict)  # (direction, dimension)

    def add(self, direction: int, dimension: int, weight: float) -> None:
        """Add to one weight; zeros leave no trace."""
        self.size = max(self.size, dimension + 1)
        if weight:
            key = direction, dimension
            self.entries[key] = self.entries.get(key, 0.0) + weight

    def matrix(self, n_directions: int, n_dimensions: int) -> np.ndarray:
        """[direction, dimension]."""
        dense = np.zeros((n_directions, n_dimensions))
        for (direction, dimension), weight in self.entries.items():
            dense[direction, dimension] = weight
        return dense


@dataclass
class Head:
    """An attention head: the weights, and what its q, k and v read."""

    reads: dict[str, list[Read]]
    q: Weights = field(default_factory=Weights)
    k: Weights = field(default_factory=Weights)
    v: Weights = field(default_factory=Weights)
    o: Weights = field(default_factory=Weights)


@dataclass
class Mlp:
    """Hidden units of an MLP, and what they read."""

    reads: list[Read]
    into: Weights = field(default_factory=Weights)  # (direction, unit)
    out: Weights = field(default_factory=Weights)  # (direction, unit)


@dataclass(frozen=True)
class Constants:
    """The constant directions of the embedding, as variables."""

    one: Variable
    bos: Variable
    pad: Variable | None

    @property
    def flags(self) -> list[Read]:
        """What every head's k reads beside its keys."""
        reads = [Read(self.bos, False)]
        return reads if self.pad is None else [*reads, Read(self.pad, True)]


Domains = dict[int, Domain]
Lookup = Callable[[SOp], Variable]


def attend(
    terms: Sequence[Term],
    lookup: Lookup,
    domains: Domains,
    constants: Constants,
    *,
    bos_score: float,
) -> Head:
    """The q and k of a head in which a key scores COLDNESS for each term that holds.

    Args:
        terms: the conjunction; keys for which all terms hold are selected.
        lookup: the variable of an S-Op.
        domains: the values of S-Ops, by id.
        constants: the constant directions.
        bos_score: the score of BOS for every query, in units of COLDNESS beyond the terms' number:
            -0.5 makes it what is attended to where nothing is selected, 0 always attends to it too.
    """
    head = Head({"q": [], "k": [], "v": []})
    one, bos = constants.one.directions[0], constants.bos.directions[0]
    n = len(terms)
    score_of_bos = n + bos_score
    dimensions = itertools.count()
    bos_dimension, one_dimension = next(dimensions), None
    head.k.add(bos, bos_dimension, 1.0)
    head.q.add(one, bos_dimension, COLDNESS * score_of_bos)
    head.q.add(bos, bos_dimension, COLDNESS * (n + 1))  # BOS attends to itself alone
    for term in terms:
        keys, queries = lookup(term.keys), lookup(term.queries)
        key_states, query_states = (
            domains[id(term.keys)].nullable,
            domains[id(term.queries)].nullable,
        )

        def holds(key: Value, query: Value, term: Term = term) -> float:
            return float(term.holds(key, query))

        # The table over (key or None) x (query or None) as a bilinear form of one-hot vectors and
        # 1: what holds for None is the constant part, and values add their difference from it.
        none_none = holds(None, None) if key_states and query_states else 0.0
        of_query = {q: (holds(None, q) if key_states else 0.0) - none_none for q in queries.values}
        of_key = {k: (holds(k, None) if query_states else 0.0) - none_none for k in keys.values}
        for key, direction in zip(keys.values, keys.directions, strict=True):
            dimension = next(dimensions)
            head.k.add(direction, dimension, 1.0)
            head.q.add(one, dimension, COLDNESS * of_key[key])
            for query, query_direction in zip(queries.values, queries.directions, strict=True):
                rest = holds(key, query) - of_key[key] - of_query[query] - none_none
                head.q.add(query_direction, dimension, COLDNESS * rest)
        if none_none or any(of_query.values()):
            if one_dimension is None:
                one_dimension = next(dimensions)
                head.k.add(one, one_dimension, 1.0)
            head.q.add(one, one_dimension, COLDNESS * none_none)
            for query, direction in zip(queries.values, queries.directions, strict=True):
                head.q.add(direction, one_dimension, COLDNESS * of_query[query])
        # BOS holds a known key: take what it scores out again.
        at_bos = keys.at_bos
        none_at_bos = (
            holds(at_bos, None) if query_states and (at_bos is not None or key_states) else 0.0
        )
        head.q.add(one, bos_dimension, -COLDNESS * none_at_bos)
        for query, direction in zip(queries.values, queries.directions, strict=True):
            score = holds(at_bos, query) if at_bos is not None or key_states else 0.0
            head.q.add(direction, bos_dimension, -COLDNESS * (score - none_at_bos))
        by_key, by_query = term_matters(term, domains)
        head.reads["k"].append(Read(keys, by_key))
        head.reads["q"].append(Read(queries, by_query))
    if constants.pad is not None:
        dimension = next(dimensions)
        head.k.add(constants.pad.directions[0], dimension, 1.0)
        head.q.add(one, dimension, -COLDNESS * (4 * n + 4))
    head.reads["q"] += [Read(constants.one, False), Read(constants.bos, False)]
    head.reads["k"] += constants.flags
    if one_dimension is not None:
        head.reads["k"].append(Read(constants.one, False))
    return head


def aggregate(
    expr: Aggregate, head: Head, sop: Variable, out: Variable, constants: Constants
) -> None:
    """The v and o of a head that moves or averages; BOS holds the default."""
    bos = constants.bos.directions[0]
    if out.numerical:
        _value_into(head, sop)
        head.v.add(bos, 0, _number(expr.default) - _number(sop.at_bos))
        head.o.add(out.directions[0], 0, 1.0)
    else:
        place = {value: i for i, value in enumerate(out.values)}
        for value, direction in zip(sop.values, sop.directions, strict=True):
            head.v.add(direction, place[value], 1.0)
        if sop.at_bos is not None:
            head.v.add(bos, place[sop.at_bos], -1.0)
        if expr.default is not None:
            head.v.add(bos, place[expr.default], 1.0)
        for i, direction in enumerate(out.directions):
            head.o.add(direction, i, 1.0)
    several = sop.numerical or len(sop.values) + sop.nullable > 1
    _reads_value(head, sop, constants, several)


def total(
    expr: AggregateSum | SelectorWidth,
    head: Head,
    sop: Variable | None,
    raw: Variable,
    constants: Constants,
) -> None:
    """The v and o of a head that sums, thinned by BOS, or that shows BOS's share."""
    bos = constants.bos.directions[0]
    if sop is None:
        head.v.add(bos, 0, 1.0)
        head.reads["v"].append(Read(constants.bos, False))
    else:
        _value_into(head, sop)
        head.v.add(bos, 0, -_number(sop.at_bos))
        _reads_value(head, sop, constants, sop.numerical or len(sop.values) > 1)
    head.o.add(raw.directions[0], 0, 1.0)


def decode_width(raw: Variable, out: Variable, max_len: int, constants: Constants) -> Mlp:
    """From BOS's share 1 / (width + 1) back to the width."""
    return _step_units(
        [(1 / (width + 1), 1 / (width + 1), width) for width in range(max_len, -1, -1)],
        raw,
        out,
        constants,
    )


def decode_sum(
    raw: Variable, out: Variable, sop_values: tuple[Value, ...], max_len: int, constants: Constants
) -> Mlp:
    """From the thinned sum, sum / (width + SUM_DILUTION), back to the sum."""
    reached = reachable_sums(sop_values, max_len)
    if reached is None:
        raise CompileError(["takes too many values to be told apart"])
    ranges: dict[float, list[float]] = {}
    for value, n in reached:
        ranges.setdefault(_number(value), []).append(_number(value) / (n + SUM_DILUTION))
    steps = [(min(seen), max(seen), value) for value, seen in sorted(ranges.items())]
    return _step_units(steps, raw, out, constants)


def map_units(
    expr: SOp,
    f: Callable[[Value], Value],
    inner: Variable,
    domain: Domain,
    out: Variable,
    constants: Constants,
) -> Mlp:
    """A function of one variable: a unit for each value, or steps between numbers."""
    results = [(x, *try_call(f, expr.name, x)) for x in domain.listed]
    defined = [(x, y) for x, known, y in results if known]
    if inner.numerical:
        steps = [(_number(x), _number(x), y) for x, y in defined]
        at_bos = _number(inner.at_bos)
        if at_bos not in domain.listed:  # so that BOS stays empty, rather than in between
            steps = sorted([*steps, (at_bos, at_bos, None)], key=lambda step: step[0])
        return _step_units(steps, inner, out, constants)
    piece = Mlp([Read(inner, len({y for _, y in defined}) + inner.nullable > 1)])
    for unit, (x, y) in enumerate(defined):
        piece.into.add(inner.direction_of[x], unit, 1.0)
        _write(piece.out, unit, out, y, 1.0)
    return piece


def pair_units(
    expr: SequenceMap,
    fst: Variable,
    snd: Variable,
    domains: Domains,
    out: Variable,
    constants: Constants,
) -> Mlp:
    """A function of two categorical variables: a unit for each pair of values."""
    matters = argument_matters(expr, domains)
    piece = Mlp([Read(fst, matters[0]), Read(snd, matters[1]), Read(constants.one, False)])
    joint = isinstance(expr, Joint)
    units = itertools.count()
    one = constants.one.directions[0]
    for x, y in itertools.product(
        domains[id(expr.fst)].states if joint else fst.values,
        domains[id(expr.snd)].states if joint else snd.values,
    ):
        known, result = (
            (True, None) if x is None and y is None else try_call(expr.f, expr.name, x, y)
        )
        if not known or result is None:
            continue
        unit = next(units)
        for variable, value in ((fst, x), (snd, y)):
            if value is None:  # on where the other variable has its value and this one none
                for direction in variable.directions:
                    piece.into.add(direction, unit, -1.0)
            else:
                piece.into.add(variable.direction_of[value], unit, 1.0)
        if x is not None and y is not None:
            piece.into.add(one, unit, -1.0)
        _write(piece.out, unit, out, result, 1.0)
    return piece


def linear_units(expr: LinearSequenceMap, fst: Variable, snd: Variable, out: Variable) -> Mlp:
    """A weighted sum of two numbers: a unit for each of their positive and negative parts."""
    factors = ((fst, expr.fst_fac), (snd, expr.snd_fac))
    piece = Mlp([Read(variable, factor != 0) for variable, factor in factors])
    for i, (variable, factor) in enumerate(factors):
        for j, sign in enumerate((1.0, -1.0)):
            piece.into.add(variable.directions[0], 2 * i + j, sign)
            piece.out.add(out.directions[0], 2 * i + j, sign * factor)
    return piece


def constant_unit(expr: Full, out: Variable, constants: Constants) -> Mlp:
    """A numerical constant."""
    piece = Mlp([Read(constants.one, False)])
    piece.into.add(constants.one.directions[0], 0, 1.0)
    _write(piece.out, 0, out, expr.fill, 1.0)
    return piece


def _step_units(
    steps: Sequence[tuple[float, float, Value]],
    number: Variable,
    out: Variable,
    constants: Constants,
) -> Mlp:
    """A step function: between the first and the second number of each step, its value.

    Two units make a ramp from 0 to 1 over the middle half of the gap between two steps.
    """
    piece = Mlp([Read(number, len({value for *_, value in steps}) > 1), Read(constants.one, False)])
    one, direction = constants.one.directions[0], number.directions[0]
    piece.into.add(one, 0, 1.0)
    if not steps:
        return piece
    _write(piece.out, 0, out, steps[0][2], 1.0)
    largest = max(max(abs(low), abs(high)) for low, high, _ in steps)
    unit = 1
    for (_, low, before), (high, _, after) in itertools.pairwise(steps):
        if before == after and (before is None) == (after is None):
            continue
        gap = high - low
        if gap < MIN_GAP * largest:
            raise CompileError(
                [f"{number.name} takes values {low!r} and {high!r}, too close to tell apart"]
            )
        middle, slope = (low + high) / 2, 2 / gap
        for offset, sign in ((0.5, 1.0), (-0.5, -1.0)):
            piece.into.add(direction, unit, slope)
            piece.into.add(one, unit, offset - slope * middle)
            _write(piece.out, unit, out, after, sign)
            _write(piece.out, unit, out, before, -sign)
            unit += 1
    return piece


def _value_into(head: Head, sop: Variable) -> None:
    if sop.numerical:
        head.v.add(sop.directions[0], 0, 1.0)
    for value, direction in zip(sop.values, sop.directions, strict=False):
        if not sop.numerical:
            head.v.add(direction, 0, _number(value))


def _reads_value(head: Head, sop: Variable, constants: Constants, matters: bool) -> None:
    head.reads["v"].append(Read(sop, matters))
    if any(direction == constants.bos.directions[0] for direction, _ in head.v.entries):
        head.reads["v"].append(Read(constants.bos, False))


def _write(weights: Weights, unit: int, out: Variable, value: Value, weight: float) -> None:
    if value is None:
        return
    if out.numerical:
        weights.add(out.directions[0], unit, weight * _number(value))
    else:
        weights.add(out.direction_of[value], unit, weight)


def _number(value: Value) -> float:
    return 0.0 if value is None else float(value)  # type: ignore[arg-type]


def dilution_score() -> float:
    """The score, in units of COLDNESS, that makes BOS weigh as much as SUM_DILUTION keys."""
    return math.log(SUM_DILUTION) / COLDNESS
