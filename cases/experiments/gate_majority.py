"""A majority of flags: are edges found that matter in groups only?

With three flags and more, switching one changes nothing where all are on: half of them must go.
Noising and denoising (`exact`) both miss the edges of every flag. Pruning (`acdc`) finds one of the
groups that are enough. With two flags it is an AND.
"""

from __future__ import annotations

from knowncircuits.cases.case import Case
from knowncircuits.cases.directed import DIRECTIONS
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import FAN_INS, gate_case

NAME = "gate_majority"


def build(n_flags: int) -> Case:
    """The gate over so many flags."""
    return gate_case(NAME, n_flags, "more than half", lambda on: 2 * sum(on) > len(on), 0.5)


GATE_MAJORITY = Experiment(
    name=NAME,
    question="Are edges found that matter in groups only?",
    dial="fan-in",
    levels=FAN_INS,
    tags=("gates",),
    build=build,
    directions=DIRECTIONS,
)
