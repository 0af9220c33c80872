"""What the later passes speak of: variables with their places, reads, components and weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from knowncircuits.names import Destination, Node
from knowncircuits.rasp.expressions import Encoding
from knowncircuits.rasp.values import Value, as_number, canonical


@dataclass(frozen=True)
class Variable:
    """A variable and its place: which node writes it, along which residual directions."""

    name: str
    node: Node
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


@dataclass(frozen=True)
class Component:
    """A node that computes something: what each of its inputs reads, and what it writes."""

    node: Node
    reads: dict[Destination, tuple[Read, ...]]  # by destination: `a1.h0<q>`, or the MLP itself
    writes: tuple[Variable, ...]


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


def number(value: Value) -> float:
    """A value along one direction, as the interpreter holds it; nothing there where it is None."""
    return 0.0 if value is None else canonical(as_number(value))  # type: ignore[return-value]
