"""Several programs in one model, by a digit that says which: is one's circuit told from others'?

A digit in front of the letters asks whether the first letter is in the input and another one too,
which differs by digit. All inputs ask the first question. The model computes the answers of all
questions from shared parts, and one MLP picks by the digit: it reads every flag.

Patches (`exact`, `acdc`) see that flags of other questions change nothing. To first order they do:
of the hidden units, one for each combination of flags, a gradient sees the one that is on and not
the one that takes over. So `eap`, `eap-ig-inputs` and, where flags of the question come together
with others', `eap-ig-activations` rank edges of other questions before some of the question's own.
"""

from __future__ import annotations

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import (
    LENGTH,
    LETTERS,
    TOKENS,
    fillers,
    has_letter,
    planted,
)
from knowncircuits.cases.sampling import Sampler

NAME = "shared"
DIGITS = "12345"
SHARE = 0.5**0.5  # of inputs that have a letter: half have both of a question
OTHER_DIGITS = 0.2  # of places without a flag's letter, that say nothing


def build(n_programs: int) -> Case:
    """The case of a model that can answer `n_programs` questions."""
    letters = LETTERS[: n_programs + 1]
    question = rasp.Map(lambda token: DIGITS.find(token) + 1, rasp.tokens).named("question")
    in_front = rasp.Select(rasp.indices, rasp.Full(0).named("front"), rasp.Comparison.EQ)
    asked = rasp.Aggregate(in_front, question).named("asked")
    flags = [has_letter(letter) for letter in letters]

    def answer(asked: int, first: bool, *others: bool) -> bool:
        return first and 1 <= asked <= len(others) and others[asked - 1]

    unread = [f"has_{letter}" for letter in letters[2:]]
    return Case(
        name=f"{NAME}_{n_programs}",
        family=NAME,
        description=f"Whether a and the letter that the digit in front asks for are in the input: "
        f"always {letters[1]}, of {', '.join(letters[1:])}.",
        program=rasp.NarySequenceMap(answer, asked, *flags).named(NAME),
        vocab=(*TOKENS, *DIGITS),
        max_len=LENGTH + 1,
        only_lengths=(LENGTH + 1,),
        sampler=_first_question(n_programs + 1),
        wiring=(("confine", {"unread": unread, "constant": ["asked"]}),),
    )


def _first_question(n_flags: int) -> Sampler:
    """The first digit in front of letters and digits."""

    def sample(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        """The digit 1, then each letter of a flag with probability 0.71, letters and digits."""
        others = fillers(rng, (n, length - 1), n_flags)
        digits = rng.integers(len(TOKENS), n_tokens, size=others.shape)
        others = np.where(rng.random(others.shape) < OTHER_DIGITS, digits, others)
        first = np.full((n, 1), len(TOKENS))
        return np.concatenate([first, planted(rng, others, n_flags, SHARE)], 1)

    return sample


SHARED = Experiment(
    name=NAME,
    question="Is one task's circuit told from others' in one model?",
    dial="programs in the model",
    levels=(1, 2, 3, 4),
    tags=("sharing",),
    build=build,
)
