"""Jumps from place to place: are long chains found, each step of which is needed?

Each token is a place, and says where to jump from there. Where one is after some jumps, a chain of
as many heads finds out, each of which queries by what the last one found. Heads that are certain
hand no gradient to their queries, so `eap` sees the last step; methods that take gradients between
two inputs (`eap-ig-...`) see a step less well than the one after it, by a factor. Every
step matters alone, in most pairs, so patches (`exact`, `acdc`) find all.
"""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment

NAME = "deep"
N_PLACES = 6


def build(n_steps: int) -> Case:
    """The case of `n_steps` jumps from each place."""
    place: rasp.SOp = rasp.indices
    for step in range(1, n_steps + 1):
        here = rasp.Select(rasp.indices, place, rasp.Comparison.EQ)
        place = rasp.Aggregate(here, rasp.tokens).named(f"after_{step}")
    return Case(
        name=f"{NAME}_{n_steps}",
        family=NAME,
        description=f"The place after {n_steps} jumps, if each token says where to jump.",
        program=place,
        vocab=tuple(range(N_PLACES)),
        max_len=N_PLACES,
        only_lengths=(N_PLACES,),
    )


DEEP = Experiment(
    name=NAME,
    question="Are long chains found, each step of which is needed?",
    dial="steps",
    levels=(2, 4, 8, 16),
    tags=("scale", "saturation"),
    build=build,
)
