"""How far rounding moves what a model holds from what its program says, and where that is too far.

Errors are handed on from variable to variable: what is read is off by so much, and each component
adds its own rounding, the weight that its attention lends to keys that are not selected, and what
steps make of it. Roundings are taken to be independent, so that they add up as a random walk: by
the root of how many there are (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002).
What a dtype cannot hold, or hold apart, is a reason not to compile to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from knowncircuits.compiler.components import Components
from knowncircuits.compiler.heads import COLDNESS, SUM_DILUTION
from knowncircuits.compiler.layout import Layout
from knowncircuits.compiler.mlps import Steps
from knowncircuits.compiler.program import Program
from knowncircuits.compiler.schedule import is_head, needs_mlp
from knowncircuits.compiler.selectors import as_map
from knowncircuits.compiler.variables import number
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    LinearSequenceMap,
    SelectorWidth,
    SequenceMap,
    SOp,
    Value,
    is_numerical,
)

# A number may be off by so much of its size, or of 1 where it is smaller and others are not; where
# a dtype has few digits, by the half of them.
TOLERANCE = 1e-6
# The directions of a categorical variable, which are 0 or 1.
CATEGORICAL_TOLERANCE = 5e-3
# Of the attention, what a key that is not selected gets: half a term below the selected ones.
STRAY = math.exp(-COLDNESS / 2)
# The interpreter takes numbers so close for the same, and goes on with the simpler one.
RESOLUTION = 1e-9
# Integers that floats of 64 bits hold exactly.
MOST_INTEGER = 2.0**53


@dataclass(frozen=True)
class Bound:
    """The model holds a value v to within `absolute` + `relative` |v|.

    Of a categorical variable the direction of its value is within `relative` of 1, and all others
    within `absolute` of 0.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def at(self, value: float) -> float:
        """How far one value may be off."""
        return self.absolute + self.relative * abs(value)


def precision_reasons(
    program: Program, layout: Layout, components: Components, max_len: int, dtype: torch.dtype
) -> list[str]:
    """What a dtype is too small or too coarse for, each with its variable and values."""
    pass_ = _Precision(program, layout, components, max_len, dtype)
    for expr in program.dependency_order():
        pass_.take(expr)
    return pass_.reasons


class _Precision:
    """Bounds of every S-Op so far, and the reasons that were found."""

    def __init__(
        self,
        program: Program,
        layout: Layout,
        components: Components,
        max_len: int,
        dtype: torch.dtype,
    ) -> None:
        self.program, self.layout, self.components = program, layout, components
        self.max_len, self.info = max_len, torch.finfo(dtype)
        self.dtype = str(dtype).removeprefix("torch.")
        self.unit = self.info.eps / 2  # the relative error of one operation
        self.tolerance = max(TOLERANCE, math.sqrt(self.info.eps))
        self.bounds: dict[int, Bound] = {}
        self.largest: dict[int, float] = {}  # of numbers, at BOS too
        self.reasons: list[str] = []

    def take(self, expr: SOp) -> None:
        """Find the bound of an S-Op of whose parts the bounds are known, and judge it."""
        key, domain = id(expr), self.layout.domains[id(expr)]
        if is_numerical(expr):
            values = domain.values
            size = self._reach(expr) if values is None else max(map(_size, values), default=0.0)
            self.largest[key] = max(size, _size(self.layout.of(expr).at_bos))
        self.bounds[key] = self._bound(expr) if is_head(expr) or needs_mlp(expr) else Bound()
        self._judge(expr)

    def _say(self, expr: SOp, reason: str) -> None:
        more = "" if self.dtype == "float64" else "; float64 may do"
        self.reasons.append(f"{self.program.names[id(expr)]}: {reason}{more}")

    def _judge(self, expr: SOp) -> None:
        bound, domain = self.bounds[id(expr)], self.layout.domains[id(expr)]
        if not is_numerical(expr):
            worst = max(bound.absolute, bound.relative)
            if worst > CATEGORICAL_TOLERANCE:
                self._say(expr, f"its values are blurred by up to {worst:.2g} in {self.dtype}")
            return
        largest = self.largest[id(expr)]
        listed = [largest] if domain.values is None else [number(v) for v in domain.values]
        values = np.array([0.0, *listed])
        sizes = np.abs(values)
        # What a component adds up on the way may be some times as large.
        if not largest < self.info.max / 4:
            self._say(expr, f"takes values up to {largest:.4g}, beyond what {self.dtype} holds")
            return
        errors = bound.absolute + bound.relative * sizes
        allowed = self.tolerance * np.maximum(sizes, min(1.0, largest or 1.0))
        allowed = np.maximum(allowed, 10 * RESOLUTION)
        whole = (sizes < MOST_INTEGER) & (values == np.round(values))
        allowed[whole] = np.minimum(allowed[whole], 0.5)
        if (errors > allowed).any():
            worst = int((errors - allowed).argmax())
            self._say(
                expr,
                f"{values[worst]:.10g} may be off by {errors[worst]:.2g} in {self.dtype}, beside "
                f"values up to {largest:.4g}",
            )

    def _reach(self, expr: SOp) -> float:
        """The largest number of a variable with too many values to list."""
        if isinstance(expr, LinearSequenceMap):
            return sum(factor * self._largest(part) for part, factor in self._terms(expr))
        assert isinstance(expr, (Aggregate, AggregateSum))
        if isinstance(expr, AggregateSum):
            return self.max_len * self._largest(expr.sop)
        return max(self._largest(expr.sop), _size(expr.default))

    def _largest(self, sop: SOp) -> float:
        """Of a variable as a number."""
        if is_numerical(sop):
            return self.largest[id(sop)]
        return max(map(_size, self.layout.domains[id(sop)].listed), default=0.0)

    def _terms(self, expr: LinearSequenceMap) -> list[tuple[SOp, float]]:
        """The numbers that are added up, each with the size of its factor."""
        if expr.fst is expr.snd:
            return [(expr.fst, abs(expr.fst_fac + expr.snd_fac))]
        return [(expr.fst, abs(expr.fst_fac)), (expr.snd, abs(expr.snd_fac))]

    def _held(self, values: tuple[Value, ...]) -> float:
        """The relative error of these numbers as weights: none where the dtype has them all."""
        dtype = getattr(torch, self.dtype)
        numbers = torch.tensor([number(v) for v in values], dtype=torch.float64, device="cpu")
        return 0.0 if bool((numbers.to(dtype).double() == numbers).all()) else self.unit

    def _bound(self, expr: SOp) -> Bound:
        if isinstance(expr, (SelectorWidth, AggregateSum)):
            return self._steps(expr, self._raw(expr))
        if isinstance(expr, Aggregate):
            return self._aggregate(expr)
        if isinstance(expr, LinearSequenceMap):
            return self._linear(expr)
        mapped = as_map(expr)
        if mapped is not None and is_numerical(mapped[0]):
            return self._steps(expr, self.bounds[id(mapped[0])])
        parts = [mapped[0]] if mapped is not None else []
        if mapped is None and isinstance(expr, SequenceMap):
            parts = [expr.fst, expr.snd]
        return self._units(expr, parts)

    def _units(self, expr: SOp, parts: list[SOp]) -> Bound:
        """A hidden unit for each value or pair: the right one is on, and others hardly."""
        bounds = [self.bounds[id(part)] for part in parts]
        right = math.hypot(*(x for b in bounds for x in (b.absolute, b.relative)))
        # Of two variables, a unit of which one has the right value is on by as much as that is off.
        wrong = right if len(parts) > 1 else math.hypot(*(bound.absolute for bound in bounds))
        if not is_numerical(expr):
            return Bound(wrong, right)
        n = sum(len(self.layout.of(part).values) for part in parts)
        rounding = self._held(self.layout.domains[id(expr)].listed)
        return Bound(math.sqrt(n) * wrong * self.largest[id(expr)], right + rounding)

    def _linear(self, expr: LinearSequenceMap) -> Bound:
        bound = 0.0
        for part, factor in self._terms(expr):
            largest = self._largest(part)
            bound += factor * (self.bounds[id(part)].at(largest) + 3 * self.unit * largest)
        return Bound(bound + RESOLUTION)

    def _attention(self, expr: SOp) -> float:
        """How far weights of selected keys are off, of their size: by what their scores are."""
        terms = self.program.terms(expr)
        blur = 0.0
        for term in terms:
            for part in (term.keys, term.queries):
                bound, n = self.bounds[id(part)], len(self.layout.of(part).values)
                blur = math.hypot(blur, bound.relative, math.sqrt(n) * bound.absolute)
        return COLDNESS * (self.unit * (len(terms) + 1) + blur)

    def _as_number(self, sop: SOp) -> Bound:
        """Of a variable as a head's value."""
        bound = self.bounds[id(sop)]
        if is_numerical(sop):
            return bound
        values = self.layout.domains[id(sop)].listed
        total = math.hypot(*map(_size, values))
        return Bound(bound.absolute * total, bound.relative + self._held(values))

    def _at_bos(self, sop: SOp) -> float:
        """What is left of a variable at BOS, where the head's value takes out what it holds."""
        at_bos = _size(self.layout.of(sop).at_bos)
        bound = self._as_number(sop)
        if not at_bos:
            return bound.absolute
        return bound.at(at_bos) + self._held((self.layout.of(sop).at_bos,)) * at_bos

    def _aggregate(self, expr: Aggregate) -> Bound:
        unit, keys = self.unit, self.max_len + 1
        if not is_numerical(expr):
            bound = self.bounds[id(expr.sop)]
            off = keys * STRAY + math.hypot(bound.absolute, bound.relative)  # what BOS held
            return Bound(off, bound.relative + 4 * unit + keys * STRAY)
        bound, size = self._as_number(expr.sop), self._largest(expr.sop)
        size = max(size, _size(expr.default), _size(self.layout.of(expr.sop).at_bos))
        uneven = self._attention(expr) * size if self.max_len > 1 else 0.0
        left = self._at_bos(expr.sop) + unit * _size(expr.default)
        absolute = bound.absolute + uneven + keys * STRAY * size + left + RESOLUTION
        return Bound(absolute, bound.relative + 4 * unit)

    def _raw(self, expr: SelectorWidth | AggregateSum) -> Bound:
        """How far the head is off that an MLP decodes."""
        uneven, stray = self._attention(expr) + 4 * self.unit, (self.max_len + 1) * STRAY
        if isinstance(expr, SelectorWidth):
            return Bound(stray, uneven)
        size = self._largest(expr.sop)
        summed = self.max_len * (uneven * size + self._as_number(expr.sop).at(size))
        return Bound(self._at_bos(expr.sop) + stray * size + summed / SUM_DILUTION)

    def _steps(self, expr: SOp, read: Bound) -> Bound:
        """Steps forget how far off a number is, if it is still on the flat; and round anew."""
        steps: Steps = self.components.steps[id(expr)]
        moved = 0.0
        for (low, high), change in zip(steps.gaps, steps.changes, strict=True):
            off = read.at(max(abs(low), abs(high))) + 4 * self.unit * steps.largest
            if off > (high - low) / 4:
                self._say(
                    expr,
                    f"{low:.10g} and {high:.10g} are too close to tell apart in {self.dtype}, "
                    f"where they may be off by {off:.2g}",
                )
                return Bound()
            # The change is the difference of two units of this size.
            units = change * (4 * steps.largest / (high - low) + 1)
            moved = math.hypot(moved, units) if is_numerical(expr) else max(moved, units)
        if not moved < self.info.max / 4:
            self._say(expr, f"needs weights up to {moved:.4g}, beyond what {self.dtype} holds")
            return Bound()
        blur = 2 * self.unit * moved
        return Bound(blur, self.unit if is_numerical(expr) else blur)


def _size(value: Value) -> float:
    return abs(number(value))
