"""Copies of one flag: are parts found of which each makes the others dispensable?

One to five heads each look for the same letter, and any one of them is enough. Where the letter is
there, no edge of a single copy matters alone; `gate_or` is the same with letters of their own.
Copies always agree, so that random pairs show no copy at work without the others, but pairs that
gain the letter do: one copy that reads the other input says that it is there.
"""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.directed import DIRECTIONS
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import (
    LETTERS,
    all_or_none,
    has_letter,
    letters_case,
    letters_there,
)

NAME = "copies"


def build(n_copies: int) -> Case:
    """The case in which `n_copies` heads look for the first letter."""
    letter = LETTERS[0]
    copies = [has_letter(letter).named(f"copy_{i}") for i in range(n_copies)]
    program = rasp.NarySequenceMap(lambda *on: any(on), *copies)
    description = f"Whether the letter {letter} is in the input, by {n_copies} heads."
    sampler, contrast = letters_there(1, 0.5), all_or_none(1)
    return letters_case(NAME, n_copies, description, program, sampler, contrast)


COPIES = Experiment(
    name=NAME,
    question="Are parts found of which each makes the others dispensable?",
    dial="heads that do the same",
    levels=(1, 2, 3, 5),
    tags=("redundancy",),
    build=build,
    directions=DIRECTIONS,
)
