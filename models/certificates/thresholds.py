"""What a model has to reach, as shares of positions at which it agrees, and what falls short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from knowncircuits.models.certificates.agreement import Agreement
from knowncircuits.models.certificates.sets import ONE_OUTSIDE, OUTSIDE

ACCURACY = 0.999
EVERY_EDGE = 0.999  # each inside and each outside edge on its own
ALL_OUTSIDE = 0.995  # all outside edges at once
RANDOM_SETS = 0.995
# The share of a model's own answers that edges which are not inside may change, one of them or any
# set, alone or beside inside edges. A leak of twice as much is then seen on the pairs there are.
OWN = 0.0005
MOVED = 0.01  # the share of its numbers that they may move by half the tolerance
# Changes of the compiled model's answers from which on an inside edge that changes none of the
# low-level model's is unused. Where an edge decides only whether there is an answer at all, the
# positions that count can agree without it.
FEWEST_CHANGES = 20

Check = tuple[str, Agreement, float]  # what is measured, how it agrees, and how much it has to


def of_set(name: str) -> float:
    """What a set of edges has to reach."""
    return {OUTSIDE: ALL_OUTSIDE, ONE_OUTSIDE: EVERY_EDGE}.get(name, RANDOM_SETS)


def set_checks(sets: Mapping[str, Agreement]) -> list[Check]:
    """The checks of sets of edges."""
    names = {OUTSIDE: "all outside edges at once", ONE_OUTSIDE: "single outside edges"}
    return [(names.get(s, f"{s} edges"), found, of_set(s)) for s, found in sets.items()]


def misses(checks: Sequence[Check]) -> Iterator[str]:
    """The checks that fail, each with what was expected and what was reached."""
    for what, found, threshold in checks:
        if not found.share >= threshold:  # NaN, where nothing counts, is a miss
            yield (
                f"{what}: expected agreement of at least {threshold:.1%}, got {found.share:.3%} "
                f"of {found.positions} positions"
            )


def unused(inside: Mapping[str, Agreement]) -> Iterator[str]:
    """Inside edges that the low-level model does without."""
    for edge, found in inside.items():
        if found.high_changed >= FEWEST_CHANGES and not found.low_changed:
            yield (
                f"inside edge {edge}: expected to change answers, got none changed, where the "
                f"compiled model's change at {found.high_effect:.3%} of {found.positions} positions"
            )
