"""An AND of flags: are edges found that are needed together?

The mirror image of an OR: where clean inputs have no flag on and corrupted ones have all, no edge
of a flag matters alone, since one flag is not enough for the other answer. Where clean inputs have
all flags on, each edge matters alone and noising (`exact`) is perfect; denoising then finds only
the edges that all flags share.
"""

from __future__ import annotations

from knowncircuits.cases.case import Case
from knowncircuits.cases.directed import DIRECTIONS
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import FAN_INS, gate_case

NAME = "gate_and"


def build(n_flags: int) -> Case:
    """The gate over so many flags."""
    return gate_case(NAME, n_flags, "each", all, 0.5 ** (1 / n_flags))


GATE_AND = Experiment(
    name=NAME,
    question="Are edges found that are needed together?",
    dial="fan-in",
    levels=FAN_INS,
    tags=("gates",),
    build=build,
    directions=DIRECTIONS,
)
