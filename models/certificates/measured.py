"""What was measured of a model on one stratum of inputs, and what of it falls short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from knowncircuits.models.certificates.agreement import Agreement, worst
from knowncircuits.models.certificates.change import Change
from knowncircuits.models.certificates.pairs import MAX_PAIRS, Inputs
from knowncircuits.models.certificates.thresholds import (
    ACCURACY,
    EVERY_EDGE,
    MOVED,
    OWN,
    RANDOM_SETS,
    Check,
    misses,
    unused,
)

Count = Annotated[int, Field(ge=0, le=MAX_PAIRS)]


@dataclass(frozen=True)
class Measured:
    """A low-level model on the pairs of one stratum.

    Agreement is with the compiled model under the same edges. A change is of the model's own
    answers, by edges that are not inside: outside ones, and undetermined ones.
    """

    inputs: Inputs  # what the pairs were taken from
    n_pairs: Annotated[int, Field(ge=1, le=MAX_PAIRS)]
    n_inputs: Annotated[int, Field(ge=1)]  # different ones
    n_beyond: Count  # pairs with an input that is no test input, where there are too few
    # The first so many pairs: those of sets of one inside edge and bystanders, and of the rest of
    # each source.
    n_company: Count
    accuracy: Agreement  # no edge patched
    answers: Mapping[str, Agreement]  # ... by the compiled model's answer, in the balanced stratum
    edges: Mapping[str, Agreement]  # each inside edge
    sets: Mapping[str, Agreement]  # random inside edges, alone and with bystanders; see `sets.py`
    # Sets of edges that are not inside, and those of these edges that change anything alone.
    own: Mapping[str, Change]
    # The edges to blame in each set that changes too many answers, with the number of pairs, of
    # those looked at, in which they are.
    blame: Mapping[str, Mapping[str, int]]

    @property
    def worst_change(self) -> tuple[str, float]:
        """The edge or set that changes most of the model's own answers; none: ("", 0)."""
        shares = {name: found.share for name, found in self.own.items()}
        return max(shares.items(), key=lambda item: item[1], default=("", 0.0))

    @property
    def checks(self) -> list[Check]:
        """What is measured, how it agrees and how much it has to; own answers with themselves."""
        own = [(f"own answers under {name}", kept(a), 1 - OWN) for name, a in self.own.items()]
        return [*self._agreements, *own]

    @property
    def misses(self) -> tuple[str, ...]:
        """Each threshold that is missed, with what was reached."""
        return (*misses(self._agreements), *unused(self.edges), *self._changes())

    @property
    def _agreements(self) -> list[Check]:
        checks: list[Check] = [("accuracy", self.accuracy, ACCURACY)]
        if self.answers:
            answer, _ = worst(self.answers)
            checks.append((f"worst answer {answer}", self.answers[answer], ACCURACY))
        checks += [(f"inside edge {edge}", found, EVERY_EDGE) for edge, found in self.edges.items()]
        checks += [(f"edges {name}", found, RANDOM_SETS) for name, found in self.sets.items()]
        return checks

    def _changes(self) -> Iterator[str]:
        for name, found in self.own.items():
            if excess := excess_of(found):
                blamed = self.blame.get(name, {})
                most = list(blamed)[:5]
                whose = f"; to blame: {', '.join(most)}" if most else ""
                yield f"own answers under {name}: {excess}{whose}"


def kept(found: Change) -> Agreement:
    """A change as the agreement of the model's own answers with and without it."""
    return Agreement(
        positions=found.positions,
        agreeing=found.positions - found.changed,
        pairs=found.pairs,
        agreeing_pairs=found.pairs - found.changed_pairs,
    )


def excess_of(found: Change) -> str:
    """What of a change is more than there may be, with expected and got; empty: nothing."""
    if found.share > OWN:
        return (
            f"expected at most {OWN:.2%} changed, got {found.share:.3%} of {found.positions} "
            "positions"
        )
    if found.moved_share > MOVED:
        return (
            f"expected at most {MOVED:.1%} of numbers moved by half the tolerance, got "
            f"{found.moved_share:.2%} of {found.positions} positions"
        )
    return ""
