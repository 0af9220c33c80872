"""The gap: how far the effects of true edges are above those of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from knowncircuits.circuit import Circuit, Label

# Effects between these shares of the largest one are neither clearly there nor clearly not.
MIDDLE = (1e-4, 0.1)
# Of the largest effect, what float64 does not tell from 0.
ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Gap:
    """What single-edge interchanges do to the output; see `exact` for the effect of an edge."""

    smallest_inside: float | None  # None without such edges
    largest_outside: float | None
    largest: float  # of any edge
    middle: float  # share of edges, of sources that vary, with effects within MIDDLE of the largest

    @property
    def ratio(self) -> float | None:
        """The smallest effect of an edge inside over the largest of one outside.

        An effect outside counts as ROUNDING of the largest effect at least: no gap is above 1 /
        ROUNDING. None without edges of both kinds, or where no edge has any effect.
        """
        if self.smallest_inside is None or self.largest_outside is None or not self.largest:
            return None
        return self.smallest_inside / max(self.largest_outside, ROUNDING * self.largest)


def effect_gap(
    circuit: Circuit, effects: Float[np.ndarray, " edge"], varies: Bool[np.ndarray, " source"]
) -> Gap:
    """The gap between effects inside and outside.

    Args:
        circuit: says which edges are in and which are out.
        effects: of every edge.
        varies: whether each source writes something else in some pair's other run.
    """
    sizes = np.abs(effects)
    inside, outside = (sizes[circuit.labels == label] for label in (Label.IN, Label.OUT))
    largest = sizes.max(initial=0.0)
    of_varying = sizes[varies[circuit.graph.source_of_edge]]
    low, high = (share * largest for share in MIDDLE)
    between = (of_varying > low) & (of_varying < high)
    return Gap(
        float(inside.min()) if inside.size else None,
        float(outside.max()) if outside.size else None,
        float(largest),
        float(between.mean()) if between.size else 0.0,
    )
