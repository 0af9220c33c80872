"""Pass 3, second half: parts of MLPs, by the weights of their hidden units."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from knowncircuits.compiler.heads import SUM_DILUTION
from knowncircuits.compiler.layout import Layout
from knowncircuits.compiler.variables import Constants, Read, Variable, Weights, number
from knowncircuits.errors import CompileError
from knowncircuits.rasp.domains import TOO_MANY, argument_matters, reachable_sums, value_of
from knowncircuits.rasp.program import Kind, Step
from knowncircuits.rasp.values import Value


@dataclass
class StepFunction:
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
    step_function: StepFunction | None = None  # what it computes, if it is one


def build_mlp(step: Step, layout: Layout) -> Mlp:
    """The hidden units that compute a step, or decode what its head leaves.

    Raises CompileError for sums that are too many, or too close to tell apart.
    """
    return _BUILDERS[step.kind](step, layout)


def _decode_width(step: Step, layout: Layout) -> Mlp:
    """From BOS's share 1 / (width + 1) back to the width."""
    steps = [(1 / (width + 1), 1 / (width + 1), width) for width in range(layout.max_len, -1, -1)]
    return _step_units(steps, layout.raw[step], layout.of(step), layout.constants)


def _decode_sum(step: Step, layout: Layout) -> Mlp:
    """From sum / (width + SUM_DILUTION) back to the sum, given the values that are summed."""
    reached = reachable_sums(layout.domains[step.inputs[0]].numbers, layout.max_len)
    if reached is None:
        raise CompileError([TOO_MANY])
    ranges: dict[float, list[float]] = {}
    for value, n in reached:
        ranges.setdefault(number(value), []).append(number(value) / (n + SUM_DILUTION))
    steps = [(min(seen), max(seen), value) for value, seen in sorted(ranges.items())]
    return _step_units(steps, layout.raw[step], layout.of(step), layout.constants)


def _map_units(step: Step, layout: Layout) -> Mlp:
    """A function of one variable: a unit for each value, or steps between numbers."""
    (part,) = step.inputs
    inner, out, values = layout.of(part), layout.of(step), layout.domains[part].listed
    results = [(x, *value_of(step, x)) for x in values]
    defined = [(x, y) for x, known, y in results if known]
    if inner.numerical:
        steps = [(number(x), number(x), y) for x, y in defined]
        at_bos = number(inner.at_bos)
        if at_bos not in values:  # so that BOS stays empty, rather than in between
            steps = sorted([*steps, (at_bos, at_bos, None)], key=lambda step: step[0])
        return _step_units(steps, inner, out, layout.constants)
    piece = Mlp([Read(inner, len({y for _, y in defined}) + inner.nullable > 1)])
    for unit, (x, y) in enumerate(defined):
        piece.into.add(inner.direction_of[x], unit, 1.0)
        _write(piece.out, unit, out, y, 1.0)
    return piece


def _table_units(step: Step, layout: Layout) -> Mlp:
    """A function of several categorical variables: a unit for each combination of values."""
    variables = [layout.of(part) for part in step.inputs]
    out, one = layout.of(step), layout.constants.one
    matters = argument_matters(step, layout.domains)
    piece = Mlp([*map(Read, variables, matters), Read(one, False)])
    domains = [layout.domains[part] for part in step.inputs]
    lists = [domain.states if step.takes_none else domain.listed for domain in domains]
    units = itertools.count()
    for arguments in itertools.product(*lists):
        _, result = value_of(step, *arguments)
        if result is None:
            continue
        unit = next(units)
        for variable, value in zip(variables, arguments, strict=True):
            if value is None:  # on where the others have their values and this one none
                for direction in variable.directions:
                    piece.into.add(direction, unit, -1.0)
            else:
                piece.into.add(variable.direction_of[value], unit, 1.0)
        present = sum(value is not None for value in arguments)
        if present > 1:
            piece.into.add(one.directions[0], unit, 1.0 - present)
        _write(piece.out, unit, out, result, 1.0)
    return piece


def _linear_units(step: Step, layout: Layout) -> Mlp:
    """A weighted sum of numbers: a unit for each of their positive and negative parts."""
    out = layout.of(step).directions[0]
    factors = [(layout.of(part), f) for part, f in zip(step.inputs, step.factors, strict=True)]
    piece = Mlp([Read(variable, factor != 0) for variable, factor in factors])
    for i, (variable, factor) in enumerate(factors):
        for j, sign in enumerate((1.0, -1.0)):
            piece.into.add(variable.directions[0], 2 * i + j, sign)
            piece.out.add(out, 2 * i + j, sign * factor)
    return piece


def _constant_unit(step: Step, layout: Layout) -> Mlp:
    """A numerical constant."""
    one = layout.constants.one
    piece = Mlp([Read(one, False)])
    piece.into.add(one.directions[0], 0, 1.0)
    _write(piece.out, 0, layout.of(step), step.constant, 1.0)
    return piece


_BUILDERS: dict[Kind, Callable[[Step, Layout], Mlp]] = {
    Kind.CONSTANT: _constant_unit,
    Kind.MAP: _map_units,
    Kind.TABLE: _table_units,
    Kind.LINEAR: _linear_units,
    Kind.WIDTH: _decode_width,
    Kind.SUM: _decode_sum,
}


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
    piece.step_function = StepFunction(largest)
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
        piece.step_function.gaps.append((low, high))
        piece.step_function.changes.append(_change(out, before, after))
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
