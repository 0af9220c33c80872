"""Classes of a prompt's positions, and which positions of two modalities' prompts correspond."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import get_args

import numpy as np
from jaxtyping import Bool

from knowncircuits.errors import InputError, UnknownNameError
from knowncircuits.evaluation.choices import PositionClass

CLASSES: tuple[PositionClass, ...] = get_args(PositionClass)


@dataclass(frozen=True)
class PositionClasses:
    """The positions of a prompt by what is there; those in front of the data are of no class."""

    n_positions: int
    data: tuple[int, ...]  # an image's patches, or the words that say the same
    query: tuple[int, ...]  # what is asked of them
    generation: tuple[int, ...]  # the last position, at which the answer is read

    def of(self, name: str) -> tuple[int, ...]:
        """The positions of a class; raises UnknownNameError for another."""
        if name not in CLASSES:
            raise UnknownNameError("class of positions", name, CLASSES)
        positions: tuple[int, ...] = getattr(self, name)
        return positions

    @property
    def prefix(self) -> tuple[int, ...]:
        """The positions of no class."""
        taken = {*self.data, *self.query, *self.generation}
        return tuple(i for i in range(self.n_positions) if i not in taken)


def position_classes(n_positions: int, data: Iterable[int]) -> PositionClasses:
    """The classes of positions that Nikankin et al. (2025) tell apart: data, query, generation.

    Args:
        n_positions: of the whole prompt, BOS among them.
        data: where the data are, such as `range(1, 4)`. What comes behind is the query, but for the
            last position, which is the generation.

    Raises:
        InputError: for data that are nowhere, out of order, or leave no position for an answer.
    """
    found = tuple(data)
    last = n_positions - 1
    if not found or sorted(set(found)) != list(found) or found[0] < 0 or found[-1] >= last:
        raise InputError(
            f"expected positions of data in order, from 0 to {last - 1}, got {list(found)}"
        )
    return PositionClasses(n_positions, found, tuple(range(found[-1] + 1, last)), (last,))


@dataclass(frozen=True)
class PositionMapping:
    """Which positions of one prompt stand for which of another: any number for any number."""

    pairs: tuple[tuple[int, int], ...]
    n_from: int  # positions of the one prompt
    n_to: int

    def __post_init__(self) -> None:
        outside = [
            pair
            for pair in self.pairs
            if not (0 <= pair[0] < self.n_from and 0 <= pair[1] < self.n_to)
        ]
        if outside:
            raise InputError(
                f"expected pairs of positions below {self.n_from} and {self.n_to}, got {outside[0]}"
            )

    @property
    def matrix(self) -> Bool[np.ndarray, "from to"]:
        """Whether a position stands for another."""
        found = np.zeros((self.n_from, self.n_to), dtype=bool)
        found[tuple(np.array(self.pairs, dtype=int).reshape(-1, 2).T)] = True
        return found

    def reversed(self) -> PositionMapping:
        """The same from the other side."""
        return PositionMapping(tuple((b, a) for a, b in self.pairs), self.n_to, self.n_from)


def map_positions(first: PositionClasses, second: PositionClasses) -> PositionMapping:
    """The mapping of the study: each position of data to all, and the others one to one, in order.

    Raises InputError for queries of different lengths, whose `PositionMapping` has to be given;
    what is in front of the data is mapped where it is as long.
    """
    if len(first.query) != len(second.query):
        raise InputError(
            "expected queries of one length to map in order, got "
            f"{len(first.query)} and {len(second.query)} positions"
        )
    in_order: list[tuple[Sequence[int], Sequence[int]]] = [
        (first.query, second.query),
        (first.generation, second.generation),
    ]
    if len(first.prefix) == len(second.prefix):
        in_order.append((first.prefix, second.prefix))
    pairs = [pair for mine, theirs in in_order for pair in zip(mine, theirs, strict=True)]
    pairs += product(first.data, second.data)
    return PositionMapping(tuple(sorted(pairs)), first.n_positions, second.n_positions)
