"""Where scales lie: evenly where they span little, else closer and closer as they grow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

EVEN = 3.0  # scales that span no more lie evenly
BEND = 0.5  # where the axis of others goes from linear to logarithmic


class ScaleAxis:
    """The places of scales on an axis, and which of them have a number there."""

    def __init__(self, scales: Iterable[float]) -> None:
        """All that are to be shown."""
        self.scales = sorted(set(scales))

    @cached_property
    def even(self) -> bool:
        """Whether places are the scales themselves."""
        return self.last - self.first <= EVEN

    @property
    def first(self) -> float:
        """The smallest scale."""
        return self.scales[0]

    @property
    def last(self) -> float:
        """The largest scale."""
        return self.scales[-1]

    def place(self, scale: float) -> float:
        """Where a scale lies; inverse hyperbolic sines also take zero and what is below."""
        return scale if self.even else math.asinh(scale / BEND)

    def ticks(self, gap: float) -> list[float]:
        """The scales with a number: the ends, 0 and 1, and of the others those that have room.

        Args:
            gap: the least distance between numbers, as a part of the axis.
        """
        gap *= self.place(self.last) - self.place(self.first)
        important = (self.first, self.last, 1.0, 0.0)
        chosen: list[float] = []
        for scale in sorted(self.scales, key=lambda k: (k not in important, k)):
            if all(abs(self.place(scale) - self.place(other)) >= gap for other in chosen):
                chosen.append(scale)
        return sorted(chosen)
