"""Names beside the ends of lines, moved apart as little as it takes to read each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FLAT = 0.02  # a line outside the circuit that stays below is flat, and has no name of its own
LETTERS = 14.0  # the height of a name, in pixels


@dataclass(frozen=True)
class Line:
    """A line of a figure: the node or edge, its status, and its values from left to right."""

    node: str
    status: str
    values: Sequence[float]

    @property
    def end(self) -> float:
        """Its value at the right."""
        return self.values[-1]


@dataclass(frozen=True)
class EndName:
    """A name beside the end of a line, or how many have none."""

    line: Line | None
    text: str
    end: float  # where the line ends
    at: float  # where the name stands, as a value


def end_names(lines: Sequence[Line], low: float, high: float, height: float) -> list[EndName]:
    """The names beside a figure, from the bottom up.

    All lines of the circuit have one, and the others that are not flat, as far as there is room:
    those inside first, then by their largest value. A last entry says how many have none.

    Args:
        lines: of one panel.
        low: the value at its bottom.
        high: the value at its top.
        height: of the panel, in pixels.
    """
    gap = LETTERS / height * (high - low)
    room = max(1, int(height // LETTERS) - 1)  # a line less, for those without a name
    wanted = [line for line in lines if line.status == "in" or max(line.values) > FLAT]
    wanted.sort(key=lambda line: (line.status != "in", -max(line.values)))
    named = sorted(wanted[:room], key=lambda line: line.end)
    rest = [line for line in lines if line not in named]
    entries: list[tuple[Line | None, str, float]] = [(x, x.node, x.end) for x in named]
    if rest:
        flat = all(max(line.values) <= FLAT for line in rest)
        end = float(np.median([line.end for line in rest]))
        text = f"{len(rest)} flat" if flat else f"{len(rest)} more"
        entries = sorted([*entries, (None, text, end)], key=lambda entry: entry[2])
    places = spread([end for _, _, end in entries], gap, low + gap / 2, high - gap / 2)
    return [EndName(*entry, at) for entry, at in zip(entries, places, strict=True)]


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved apart by `gap` and within the bounds, by the least sum of squared moves.

    That is an isotonic regression of the places less a gap for each that is below. Expects them in
    order, and room for all.
    """
    if not places:
        return []
    from scipy.optimize import isotonic_regression

    steps = gap * np.arange(len(places))
    lowest = isotonic_regression(np.asarray(places) - steps).x
    return list(np.clip(lowest, low, max(low, high - steps[-1])) + steps)
