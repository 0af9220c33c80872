"""Which of the edges that are not inside change a model's answers, where a set of them does."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from knowncircuits.models.certificates.sides import Side, equal


def blame(
    side: Side,
    sets: Bool[np.ndarray, "pair edge"],
    rest: Bool[np.ndarray, " edge"],
    atol: float,
) -> dict[str, int]:
    """In how many pairs each edge is to blame for other answers than the set's inside edges give.

    Edges are taken out of each pair's set, ever smaller groups of them, as long as the answers
    still change: what is left is to blame, and no edge of it can be spared (delta debugging: Zeller
    and Hildebrandt, 2002).

    Args:
        side: the model on pairs whose answers change.
        sets: for each of them the edges that read the other input.
        rest: the edges that are not inside: those that can be to blame.
        atol: how far numbers may differ and be equal.
    """
    without = side.edge_set(sets & ~rest)
    members = np.flatnonzero(rest & sets.any(0))
    size = (len(members) + 1) // 2
    while size:
        for start in range(0, len(members), size):
            chunk = members[start : start + size]
            if not sets[:, chunk].any():
                continue
            fewer = sets.copy()
            fewer[:, chunk] = False
            changed = ~equal(side.edge_set(fewer), without, atol).all(-1).numpy()
            sets = np.where(changed[:, None], fewer, sets)
        members = members[sets[:, members].any(0)]
        size = size // 2
    blamed = (sets & rest).sum(0)
    return {side.model.graph.edges[i]: int(blamed[i]) for i in np.argsort(-blamed) if blamed[i]}
