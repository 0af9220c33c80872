"""Nodes that work at some positions only: are they found, if at most positions others do?

At the first positions the answer is whether one letter is in the input, at all others whether
another is. Two heads find out, each at all positions, and one MLP picks by the position.

A check: scores are of edges, and means over positions, so that those of the first head shrink as
the positions do, to a sixteenth. All stay far above the scores of edges outside, which are zero;
`eap` misses the keys, as everywhere where heads are certain.
"""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import LETTERS, TOKENS, has_letter, letters_there

NAME = "position"
LENGTH = 16


def build(n_positions: int) -> Case:
    """The first head's answer counts at so many positions."""
    here = rasp.Map(lambda place: place < n_positions, rasp.indices).named("here")
    flags = [has_letter(letter) for letter in LETTERS[:2]]
    return Case(
        name=f"{NAME}_{n_positions}",
        family=NAME,
        description=f"Whether {LETTERS[0]} is in the input, at {n_positions} positions of "
        f"{LENGTH}; {LETTERS[1]} at the others.",
        program=rasp.NarySequenceMap(
            lambda here, first, other: first if here else other, here, *flags
        ).named(NAME),
        vocab=TOKENS,
        max_len=LENGTH,
        only_lengths=(LENGTH,),
        sampler=letters_there(2, 0.5),
    )


POSITION = Experiment(
    name=NAME,
    question="Is a node found that works at some positions only?",
    dial="positions of 16 at which it works",
    levels=(8, 4, 2, 1),
    tags=("position",),
    build=build,
)
