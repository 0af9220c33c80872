"""Few pairs: how many does it take until a method has found a circuit?

A majority of five flags, each of which is on in half of the inputs, at random. One edge matters by
itself in the pairs whose flags are nearly balanced: of one pair a patch (`exact`) shows half of
the circuit, of four most of it. What patches many edges at once or follows gradients between the
two inputs sees more in each pair (`edge-sp`, `eap-ig-inputs`); what prunes (`acdc`) sees less,
since it keeps one of several groups that are enough for the pairs at hand.
"""

from __future__ import annotations

from dataclasses import replace

from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments import gate_majority
from knowncircuits.cases.experiments.experiment import Experiment

NAME = "few"
N_FLAGS = 5


def build(n_pairs: int) -> Case:
    """The case that is scored on `n_pairs` pairs, unless a run asks for another number."""
    majority = gate_majority.build(N_FLAGS)
    return replace(
        majority,
        name=f"{NAME}_{n_pairs}",
        family=NAME,
        description=f"{majority.description[:-1]}; {n_pairs} pairs.",
        contrast=None,
        n_pairs=n_pairs,
    )


FEW = Experiment(
    name=NAME,
    question="How many pairs does it take?",
    dial="pairs",
    levels=(256, 64, 16, 4, 1),
    tags=("data",),
    build=build,
)
