"""Numbers that submissions claim, beside what their scores come to; nothing else looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

TOLERANCE = 5e-4  # claims are given to three digits


def refuted_claims(
    claims: Mapping[str, float], standing: Mapping[str, Any]
) -> Iterator[tuple[str, float, float]]:
    """The claims that scores do not bear out: the name, what is claimed, what was found.

    Args:
        claims: of a submission's description.
        standing: its row of the board. A claim of anything that the board does not have is passed
            over.
    """
    for name, claimed in claims.items():
        found = standing.get(name)
        if isinstance(found, float) and not abs(found - claimed) < TOLERANCE:
            yield name, claimed, found
