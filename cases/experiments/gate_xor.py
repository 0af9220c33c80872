"""An XOR of flags: are edges found whose effects undo each other?

Each edge matters alone, but with an even number of flags all of them together change nothing: a
circuit of no edge at all is then sufficient, so that what prunes by the answer (`acdc`, `edge-sp`)
may remove everything, and the edge behind the gate, which carries no difference, is found by no
single patch. Sums of effects, as gradients take them, cancel.
"""

from __future__ import annotations

from knowncircuits.cases.case import Case
from knowncircuits.cases.directed import DIRECTIONS
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import FAN_INS, gate_case

NAME = "gate_xor"


def build(n_flags: int) -> Case:
    """The gate over so many flags."""
    return gate_case(NAME, n_flags, "an odd number", lambda on: sum(on) % 2 == 1, 0.5)


GATE_XOR = Experiment(
    name=NAME,
    question="Are edges found whose effects undo each other?",
    dial="fan-in",
    levels=FAN_INS,
    tags=("gates",),
    build=build,
    directions=DIRECTIONS,
)
