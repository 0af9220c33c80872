"""What inputs of a pair with a direction differ in: a property that one has and the other lacks."""

from __future__ import annotations

from dataclasses import dataclass

from knowncircuits.cases.sampling import Satisfy


@dataclass(frozen=True, eq=False)
class Contrast:
    """A property of inputs, and how an input is made to lack it, or to have it.

    The input that has the property is made of the one that lacks it, so what `switch_on` leaves
    alone is equal in the two.
    """

    on: str  # what inputs that have it are like, in words
    off: str  # what those are like that lack it
    switch_on: Satisfy  # of inputs that lack it
    switch_off: Satisfy  # of any inputs
