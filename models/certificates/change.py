"""How often edges that are not inside change a model's own answers."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from knowncircuits.models.certificates.sides import equal

# Numbers that move by more than this share of the tolerance are counted too.
MOVE = 0.5


@dataclass(frozen=True)
class Change:
    """A model's own answers with and without a set's edges that are not inside: counts.

    Without them, only the set's inside edges read the other input. All positions after BOS count,
    those where the program says None too. The compiled model is not asked.
    """

    positions: int = 0
    changed: int = 0  # other answers; numbers that move by more than the tolerance
    moved: int = 0  # numbers that move by more than MOVE of the tolerance; else as `changed`
    pairs: int = 0
    changed_pairs: int = 0  # that have a position with another answer

    @property
    def share(self) -> float:
        """Changed positions of all."""
        return self.changed / max(1, self.positions)

    @property
    def moved_share(self) -> float:
        """Moved positions of all."""
        return self.moved / max(1, self.positions)

    def __add__(self, other: Change) -> Change:
        return Change(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def change_of(answers: Tensor, without: Tensor, atol: float) -> Change:
    """The counts of some pairs' answers [pair, pos]."""
    changed, moved = (~equal(answers, without, tol) for tol in (atol, MOVE * atol))
    return Change(
        positions=changed.numel(),
        changed=int(changed.sum()),
        moved=int(moved.sum()),
        pairs=len(changed),
        changed_pairs=int(changed.any(-1).sum()),
    )
