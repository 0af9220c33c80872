"""An XOR of flags: are edges found whose effects undo each other?

The edges of each flag matter alone, but with an even number of flags all of them together change
nothing, and no edge is needed: what prunes by the answer (`acdc`) removes all, single patches miss
the edges that all flags share (`exact`), and gradients are 0 at both inputs. With an odd number
any one flag is enough.
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
