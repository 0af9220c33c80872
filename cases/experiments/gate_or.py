"""An OR of flags: are edges found of which any one is enough?

Where every flag is on in clean inputs and off in corrupted ones, no edge of a flag matters alone:
another flag still gives the answer. Noising (`exact`) finds the edges that all flags share. What
takes away many edges at once, as `acdc` does, keeps one flag of them: enough for the answer, not
all that is there. In the other direction each edge matters alone.
"""

from __future__ import annotations

from knowncircuits.cases.case import Case
from knowncircuits.cases.directed import DIRECTIONS
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import FAN_INS, gate_case

NAME = "gate_or"


def build(n_flags: int) -> Case:
    """The gate over so many flags."""
    return gate_case(NAME, n_flags, "any", any, 1 - 0.5 ** (1 / n_flags))


GATE_OR = Experiment(
    name=NAME,
    question="Are edges found of which any one is enough?",
    dial="fan-in",
    levels=FAN_INS,
    tags=("gates",),
    build=build,
    directions=DIRECTIONS,
)
