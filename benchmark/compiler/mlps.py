"""Pass 6, second half: parts of MLPs, by the weights of their hidden units."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from knowncircuits.compiler.heads import SUM_DILUTION
from knowncircuits.compiler.selectors import Joint
from knowncircuits.compiler.values import (
    TOO_MANY,
    Domain,
    Domains,
    argument_matters,
    reachable_sums,
    try_call,
)
from knowncircuits.compiler.variables import Constants, Read, Variable, Weights, number
from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import Full, LinearSequenceMap, SequenceMap, Value


@dataclass
class Steps:
    """A step function of a number, for those who ask how exact it is."""

    largest: float  # what it is a function of, in size
    gaps: list[tuple[float, float]] = field(default_factory=list)  # between values told apart
    changes: list[float] = field(default_factory=list)  # of the result, in size, at each gap


@dataclass
class Mlp:
    """Hidden units of an MLP, and what they read."""

    reads: list[Read]
    into: Weights = field(default_factory=Weights)  # (direction, unit)
    out: Weights = field(default_factory=Weights)  # (direction, unit)
    steps: Steps | None = None  # of a function of a number


def decode_width(raw: Variable, out: Variable, max_len: int, constants: Constants) -> Mlp:
    """From BOS's share 1 / (width + 1) back to the width."""
    steps = [(1 / (width + 1), 1 / (width + 1), width) for width in range(max_len, -1, -1)]
    return _step_units(steps, raw, out, constants)


def decode_sum(
    raw: Variable, out: Variable, summed: tuple[Value, ...], max_len: int, constants: Constants
) -> Mlp:
    """From sum / (width + SUM_DILUTION) back to the sum, given the values that are summed."""
    reached = reachable_sums(summed, max_len)
    if reached is None:
        raise CompileError([TOO_MANY])
    ranges: dict[float, list[float]] = {}
    for value, n in reached:
        ranges.setdefault(number(value), []).append(number(value) / (n + SUM_DILUTION))
    steps = [(min(seen), max(seen), value) for value, seen in sorted(ranges.items())]
    return _step_units(steps, raw, out, constants)


def map_units(
    name: str,
    f: Callable[[Value], Value],
    inner: Variable,
    domain: Domain,
    out: Variable,
    constants: Constants,
) -> Mlp:
    """A function of one variable: a unit for each value, or steps between numbers."""
    results = [(x, *try_call(f, name, x)) for x in domain.listed]
    defined = [(x, y) for x, known, y in results if known]
    if inner.numerical:
        steps = [(number(x), number(x), y) for x, y in defined]
        at_bos = number(inner.at_bos)
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
        _, result = try_call(expr.f, expr.name, x, y)
        if result is None:
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
    factors: tuple[tuple[Variable, float], ...] = ((fst, expr.fst_fac), (snd, expr.snd_fac))
    if expr.fst is expr.snd:
        factors = ((fst, expr.fst_fac + expr.snd_fac),)
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
    largest = max((max(abs(low), abs(high)) for low, high, _ in steps), default=0.0)
    piece.steps = Steps(largest)
    if not steps:
        return piece
    _write(piece.out, 0, out, steps[0][2], 1.0)
    unit = 1
    for (_, low, before), (high, _, after) in itertools.pairwise(steps):
        if before == after and (before is None) == (after is None):
            continue
        gap = high - low
        if gap <= 0:
            raise CompileError([f"{number.name}: sums up to {largest:g} cannot be told apart"])
        piece.steps.gaps.append((low, high))
        piece.steps.changes.append(_change(out, before, after))
        middle, slope = (low + high) / 2, 2 / gap
        for offset, sign in ((0.5, 1.0), (-0.5, -1.0)):
            piece.into.add(direction, unit, slope)
            piece.into.add(one, unit, offset - slope * middle)
            _write(piece.out, unit, out, after, sign)
            _write(piece.out, unit, out, before, -sign)
            unit += 1
    return piece


def _change(out: Variable, before: Value, after: Value) -> float:
    """How far a step moves what is written, along any direction."""
    return abs(number(after) - number(before)) if out.numerical else 1.0


def _write(weights: Weights, unit: int, out: Variable, value: Value, weight: float) -> None:
    if value is None:
        return
    if out.numerical:
        weights.add(out.directions[0], unit, weight * number(value))
    else:
        weights.add(out.direction_of[value], unit, weight)
