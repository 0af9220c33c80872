"""How far rounding moves what a model holds from what its program says, and where that is too far.

Errors are handed on from variable to variable: what is read is off by so much, and each component
adds its own rounding, the weight that its attention lends to keys that are not selected, and what
steps make of it. Roundings are taken to be independent, so that they add up as a random walk: by
the root of how many there are (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002).
What a dtype cannot hold, or hold apart, is a reason not to compile to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from knowncircuits.compiler.components import Components
from knowncircuits.compiler.heads import COLDNESS, SUM_DILUTION
from knowncircuits.compiler.layout import Layout
from knowncircuits.compiler.variables import number
from knowncircuits.rasp.program import Kind, Program, Step
from knowncircuits.rasp.values import Value

# A number may be off by so much of its size, or of 1 where it is smaller and others are not; where
# a dtype has few digits, by the half of them.
TOLERANCE = 1e-6
# The directions of a categorical variable, which are 0 or 1.
CATEGORICAL_TOLERANCE = 5e-3
# The attention that a key gets which is not selected: half a term below the selected ones.
STRAY = math.exp(-COLDNESS / 2)
# The interpreter takes numbers so close for the same, and goes on with the simpler one.
RESOLUTION = 1e-9
# Integers that floats of 64 bits hold exactly.
MOST_INTEGER = 2.0**53


@dataclass(frozen=True)
class Bound:
    """The model holds a value v to within `absolute` + `relative` |v|.

    For a categorical variable the direction of its value is within `relative` of 1, and all other
    directions are within `absolute` of 0.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def at(self, value: float) -> float:
        """How far one value may be off."""
        return self.absolute + self.relative * abs(value)


def precision_reasons(
    program: Program, layout: Layout, components: Components, dtype: torch.dtype
) -> list[str]:
    """What a dtype is too small or too coarse for, each with its variable and values."""
    pass_ = _Precision(layout, components, dtype)
    for step in program.in_order:
        pass_.take(step)
    return pass_.reasons


class _Precision:
    """Bounds of every step so far, and the reasons that were found."""

    def __init__(self, layout: Layout, components: Components, dtype: torch.dtype) -> None:
        self.layout, self.components = layout, components
        self.max_len, self.info = layout.max_len, torch.finfo(dtype)
        self.dtype = str(dtype).removeprefix("torch.")
        self.unit = self.info.eps / 2  # the relative error of one operation
        self.tolerance = max(TOLERANCE, math.sqrt(self.info.eps))
        self.bounds: dict[Step, Bound] = {}
        self.largest: dict[Step, float] = {}  # of numbers, at BOS too
        self.reasons: list[str] = []

    def take(self, step: Step) -> None:
        """Find the bound of a step of whose parts the bounds are known, and judge it."""
        if step.numerical:
            values = self.layout.domains[step].values
            size = self._reach(step) if values is None else max(map(_size, values), default=0.0)
            self.largest[step] = max(size, _size(self.layout.of(step).at_bos))
        self.bounds[step] = self._bound(step)
        self._judge(step)

    def _say(self, step: Step, reason: str) -> None:
        more = "" if self.dtype == "float64" else "; float64 may do"
        self.reasons.append(f"{step.name}: {reason}{more}")

    def _judge(self, step: Step) -> None:
        bound, domain = self.bounds[step], self.layout.domains[step]
        if not step.numerical:
            worst = max(bound.absolute, bound.relative)
            if worst > CATEGORICAL_TOLERANCE:
                self._say(step, f"its values are blurred by up to {worst:.2g} in {self.dtype}")
            return
        largest = self.largest[step]
        listed = [largest] if domain.values is None else [number(v) for v in domain.values]
        values = np.array([0.0, *listed])
        sizes = np.abs(values)
        # What a component adds up on the way may be some times as large.
        if not largest < self.info.max / 4:
            self._say(step, f"takes values up to {largest:.4g}, beyond what {self.dtype} holds")
            return
        errors = bound.absolute + bound.relative * sizes
        allowed = self.tolerance * np.maximum(sizes, min(1.0, largest or 1.0))
        allowed = np.maximum(allowed, 10 * RESOLUTION)
        whole = (sizes < MOST_INTEGER) & (values == np.round(values))
        allowed[whole] = np.minimum(allowed[whole], 0.5)
        if (errors > allowed).any():
            worst = int((errors - allowed).argmax())
            self._say(
                step,
                f"{values[worst]:.10g} may be off by {errors[worst]:.2g} in {self.dtype}, beside "
                f"values up to {largest:.4g}",
            )

    def _reach(self, step: Step) -> float:
        """The largest number of a variable with too many values to list."""
        if step.kind is Kind.LINEAR:
            return sum(abs(factor) * self._largest(part) for part, factor in _weighted(step))
        largest = self._largest(step.inputs[0])
        if step.kind is Kind.SUM:
            return self.max_len * largest
        return max(largest, _size(step.constant))

    def _largest(self, step: Step) -> float:
        """The largest absolute value of a variable as a number."""
        if step.numerical:
            return self.largest[step]
        return max(map(_size, self.layout.domains[step].listed), default=0.0)

    def _held(self, values: tuple[Value, ...]) -> float:
        """The relative error of these numbers as weights: none where the dtype has them all."""
        dtype = getattr(torch, self.dtype)
        numbers = torch.tensor([number(v) for v in values], dtype=torch.float64, device="cpu")
        return 0.0 if bool((numbers.to(dtype).double() == numbers).all()) else self.unit

    def _bound(self, step: Step) -> Bound:
        match step.kind:
            case Kind.WIDTH | Kind.SUM:
                return self._steps(step, self._raw(step))
            case Kind.MEAN:
                return self._mean(step)
            case Kind.LINEAR:
                return self._linear(step)
            case Kind.MAP if step.inputs[0].numerical:
                return self._steps(step, self.bounds[step.inputs[0]])
            case _:
                return self._units(step) if step.needs_mlp else Bound()

    def _units(self, step: Step) -> Bound:
        """A hidden unit for each combination of values: the right one is on, and others hardly."""
        bounds = [self.bounds[part] for part in step.inputs]
        right = math.hypot(*(x for b in bounds for x in (b.absolute, b.relative)))
        # With several inputs, a unit with one wrong value is on by as much as the values are off.
        wrong = right if len(bounds) > 1 else math.hypot(*(bound.absolute for bound in bounds))
        if not step.numerical:
            return Bound(wrong, right)
        n = sum(len(self.layout.of(part).values) for part in step.inputs)
        rounding = self._held(self.layout.domains[step].listed)
        return Bound(math.sqrt(n) * wrong * self.largest[step], right + rounding)

    def _linear(self, step: Step) -> Bound:
        bound = 0.0
        for part, factor in _weighted(step):
            largest = self._largest(part)
            bound += abs(factor) * (self.bounds[part].at(largest) + 3 * self.unit * largest)
        return Bound(bound + RESOLUTION)

    def _attention(self, step: Step) -> float:
        """How far weights of selected keys are off, of their size: by what their scores are."""
        blur = 0.0
        for term in step.terms:
            for part in (term.keys, term.queries):
                bound, n = self.bounds[part], len(self.layout.of(part).values)
                blur = math.hypot(blur, bound.relative, math.sqrt(n) * bound.absolute)
        return COLDNESS * (self.unit * (len(step.terms) + 1) + blur)

    def _as_number(self, step: Step) -> Bound:
        """The bound of a variable that a head reads as a number, as its value."""
        bound = self.bounds[step]
        if step.numerical:
            return bound
        values = self.layout.domains[step].listed
        total = math.hypot(*map(_size, values))
        return Bound(bound.absolute * total, bound.relative + self._held(values))

    def _at_bos(self, step: Step) -> float:
        """What is left of a variable at BOS, where the head's value takes out what it holds."""
        at_bos = _size(self.layout.of(step).at_bos)
        bound = self._as_number(step)
        if not at_bos:
            return bound.absolute
        return bound.at(at_bos) + self._held((self.layout.of(step).at_bos,)) * at_bos

    def _mean(self, step: Step) -> Bound:
        (averaged,), unit, keys = step.inputs, self.unit, self.max_len + 1
        if not step.numerical:
            bound = self.bounds[averaged]
            off = keys * STRAY + math.hypot(bound.absolute, bound.relative)  # what BOS held
            return Bound(off, bound.relative + 4 * unit + keys * STRAY)
        bound, size = self._as_number(averaged), self._largest(averaged)
        size = max(size, _size(step.constant), _size(self.layout.of(averaged).at_bos))
        uneven = self._attention(step) * size if self.max_len > 1 else 0.0
        left = self._at_bos(averaged) + unit * _size(step.constant)
        absolute = bound.absolute + uneven + keys * STRAY * size + left + RESOLUTION
        return Bound(absolute, bound.relative + 4 * unit)

    def _raw(self, step: Step) -> Bound:
        """How far the head is off that an MLP decodes."""
        uneven, stray = self._attention(step) + 4 * self.unit, (self.max_len + 1) * STRAY
        if step.kind is Kind.WIDTH:
            return Bound(stray, uneven)
        (summed,) = step.inputs
        size = self._largest(summed)
        total = self.max_len * (uneven * size + self._as_number(summed).at(size))
        return Bound(self._at_bos(summed) + stray * size + total / SUM_DILUTION)

    def _steps(self, step: Step, read: Bound) -> Bound:
        """Steps forget how far off a number is, if it is still on the flat; and round anew."""
        steps = self.components.step_functions[step]
        moved = 0.0
        for (low, high), change in zip(steps.gaps, steps.changes, strict=True):
            off = read.at(max(abs(low), abs(high))) + 4 * self.unit * steps.largest
            if off > (high - low) / 4:
                self._say(
                    step,
                    f"{low:.10g} and {high:.10g} are too close to tell apart in {self.dtype}, "
                    f"where they may be off by {off:.2g}",
                )
                return Bound()
            # The change is the difference of two units of this size.
            units = change * (4 * steps.largest / (high - low) + 1)
            moved = math.hypot(moved, units) if step.numerical else max(moved, units)
        if not moved < self.info.max / 4:
            self._say(step, f"needs weights up to {moved:.4g}, beyond what {self.dtype} holds")
            return Bound()
        blur = 2 * self.unit * moved
        return Bound(blur, self.unit if step.numerical else blur)


def _weighted(step: Step) -> Iterator[tuple[Step, float]]:
    """The numbers that are added up, each with its factor."""
    return zip(step.inputs, step.factors, strict=True)


def _size(value: Value) -> float:
    return abs(number(value))
