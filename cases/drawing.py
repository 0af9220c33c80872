"""Random programs of a stated size, depth and fan-in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from knowncircuits.cases.written import COMPARISONS, TERNARY, Step, Written, reads
from knowncircuits.errors import InputError

MOST_STEPS, MOST_READ = 12, 4
TOKENS, LENGTHS = (3, 4, 5), (4, 5, 6)  # that are drawn
CAUSAL, RISING = 0.3, 0.2  # how often attention is causal, and the sampler not uniform
UNREAD_FIRST = 0.7  # how often a step reads what no step has read yet
JOINED, NEGATED = 0.25, 0.1  # selectors of two comparisons, and turned round
PAIRS = ("==", "!=", "<", "+", "-", "max", "min", "and", "or")
THRESHOLDS = (0.25, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25)  # that means are compared with


@dataclass(frozen=True)
class Shape:
    """What a program is to be like; raises InputError where no program is."""

    size: int  # steps
    depth: int  # of them on the longest path
    fan_in: int  # variables that the widest step reads

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= self.size <= MOST_STEPS or not 1 <= self.fan_in <= MOST_READ:
            raise InputError(
                f"expected 1 <= depth <= size <= {MOST_STEPS} and a fan-in of 1 to {MOST_READ}, "
                f"got size {self.size}, depth {self.depth}, fan-in {self.fan_in}"
            )
        most = sum(self.fan_in**level for level in range(self.depth))
        if self.size > most:
            raise InputError(
                f"expected up to {most} steps, which the last one can need at depth {self.depth} "
                f"and fan-in {self.fan_in}, got {self.size}"
            )


def shapes_within(sizes: range, depths: range, fan_ins: range) -> list[Shape]:
    """Every shape that a program can have, of these; raises InputError where there is none."""
    found = []
    for size, depth, fan_in in itertools.product(sizes, depths, fan_ins):
        with suppress(InputError):
            found.append(Shape(size, depth, fan_in))
    if not found:
        raise InputError(
            f"expected a size, a depth and a fan-in that a program can have, got none among sizes "
            f"{[*sizes]}, depths {[*depths]} and fan-ins {[*fan_ins]}"
        )
    return found


def draw_program(rng: np.random.Generator, shape: Shape) -> Written | None:
    """A random program, or None where what was drawn has another shape.

    Steps are drawn from the input up. Each reads one of the level below it, so that the depth is
    what was asked for; what else it reads is rather what no step reads yet. Whether the program
    means anything, can be compiled or is hard is not looked at.
    """
    n_tokens = int(rng.choice(TOKENS))
    drawing = _Drawing(rng, n_tokens)
    inner = [*range(1, shape.depth), *rng.integers(1, max(shape.depth, 2), shape.size)]
    levels = [*sorted(inner[: shape.size - 1]), shape.depth]
    for level in levels:
        drawing.add(int(level))
    program = Written(
        tokens=n_tokens,
        max_len=int(rng.choice(LENGTHS)),
        causal=bool(rng.random() < CAUSAL),
        sampler="uniform_maximum" if rng.random() < RISING else "uniform",
        steps=canonical(drawing.steps),
    )
    drawn = (program.size, program.depth, program.fan_in)
    return program if drawn == (shape.size, shape.depth, shape.fan_in) else None


def canonical(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps that the last one needs, each after what it reads, in the order of their first use.

    Programs that differ in the order of steps or in unread ones become the same.
    """
    places: dict[str, int] = {}

    def visit(name: str) -> None:
        if name.startswith("v") and name not in places:
            for read in reads(steps[int(name[1:]) - 1]):
                visit(read)
            places[name] = len(places) + 1

    visit(f"v{len(steps)}")
    names = {old: f"v{new}" for old, new in places.items()}

    def renamed(term: Step) -> Step:
        return tuple(
            renamed(part) if isinstance(part, tuple) else names.get(part, part) for part in term
        )

    return tuple(renamed(steps[int(old[1:]) - 1]) for old in places)


@dataclass
class _Drawing:
    """A program that grows; what its steps are like says what may read them."""

    rng: np.random.Generator
    n_tokens: int
    steps: list[Step] = field(default_factory=list)
    levels: dict[str, int] = field(default_factory=lambda: {"tokens": 0, "indices": 0})
    unread: list[str] = field(default_factory=list)

    def add(self, level: int) -> None:
        """One more step, which reads one of the level below."""
        below = [name for name in self.levels if self.levels[name] == level - 1]
        needed = "tokens" if level == 1 else self._pick(below)
        step = self._step(needed, [name for name in self.levels if self.levels[name] < level])
        name = f"v{len(self.steps) + 1}"
        self.steps.append(step)
        self.unread = [other for other in self.unread if other not in set(reads(step))]
        self.levels[name] = level
        self.unread.append(name)

    def _step(self, needed: str, others: list[str]) -> Step:
        others = [name for name in others if self._kind(name) != "mean"]
        kinds = ["width", "width", "mean", "sum"]
        kinds += ["pair", "move"] if len({needed, *others}) >= 2 else []
        kinds += ["triple"] if len({needed, *others}) >= 3 else []
        if needed != "tokens" and self._kind(needed) != "map":
            kinds += ["map", "map"]
        kind = "map" if self._kind(needed) == "mean" else self._pick(kinds)
        match kind:
            case "map":
                return self._map(needed)
            case "pair":
                return ("pair", self._pick(PAIRS), *self._several(needed, others, 2))
            case "triple":
                return ("triple", self._pick(tuple(TERNARY)), *self._several(needed, others, 3))
            case "move":  # what one position has: several have no value in common
                place, value = self._several(needed, others, 2)
                return ("move", ("select", "==", "indices", place), value)
            case "width":
                return ("width", self._selector(needed, others))
        selector, value = self._selector(needed, others), self._other(others)
        return (kind, selector, value)

    def _map(self, of: str) -> Step:
        if self._kind(of) == "mean":
            return ("map", self._pick(("<", ">=")), float(self.rng.choice(THRESHOLDS)), of)
        f = self._pick(("==", "!=", "<", ">=", "%"))
        return ("map", f, 2 if f == "%" else int(self.rng.integers(1, 4)), of)

    def _selector(self, needed: str, others: list[str]) -> Step:
        """What reads a variable that it has to, of one comparison or two."""
        selector = self._comparison(needed, others)
        if self.rng.random() < JOINED:
            second = self._comparison(self._other(others), others)
            if second != selector:
                selector = (self._pick(("and", "or")), selector, second)
        return ("not", selector) if self.rng.random() < NEGATED else selector

    def _comparison(self, needed: str, others: list[str]) -> Step:
        f, chance = self._pick(tuple(COMPARISONS)), self.rng.random()
        if chance < 0.3:
            return ("select", f, needed, needed)
        if chance < 0.5:
            return ("select", f, needed, int(self.rng.integers(self.n_tokens)))
        pair = self._several(needed, others, 2)
        return ("select", f, *pair)

    def _several(self, needed: str, others: list[str], n: int) -> list[str]:
        """The variable itself and others, in a random order."""
        chosen = [needed]
        while len(chosen) < n:
            chosen.append(self._other([name for name in others if name not in chosen]))
        return [chosen[i] for i in self.rng.permutation(n)]

    def _other(self, others: list[str]) -> str:
        unread = [name for name in self.unread if name in others]
        return self._pick(unread if unread and self.rng.random() < UNREAD_FIRST else others)

    def _kind(self, name: str) -> str:
        return str(self.steps[int(name[1:]) - 1][0]) if name.startswith("v") else name

    def _pick(self, names: Sequence[str]) -> str:
        return names[int(self.rng.integers(len(names)))]
