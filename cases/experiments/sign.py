"""Terms that rise in some pairs and fall in others: are edges found whose effect has no one sign?

The answer is the sum of three digits, and differs by the same in every pair with a direction. One
digit makes up for the two others, each of which rises by one in some pairs and falls by one in the
others: it moves the answer along, or against the rest.

What gradients say of a digit is its change times that of the answer, which has the sign of the
digit's. Methods take the mean over pairs before they look at the size. So `eap` and `eap-ig-inputs`
see less of the two digits the better rises and falls are balanced, and nothing at 50%. So does
`eap-ig-activations` in front of the heads that read them, since gradients flow back through what
follows. What patches change is a squared distance, in which signs are gone: `exact`, `acdc` and
`edge-sp` find all.
"""

from __future__ import annotations

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.contrast import Contrast
from knowncircuits.cases.directed import DIRECTIONS
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.places import digit_at
from knowncircuits.cases.sampling import Codes, Satisfy

NAME = "sign"
DIGITS = tuple(range(8))
N_OTHERS = 2  # digits that rise in some pairs and fall in others
RISE = 3  # of the answer, in every pair


def build(percent: int) -> Case:
    """The case in which each of two digits falls in `percent` of the pairs, as the answer rises."""
    digits = rasp.numerical(rasp.Map(float, rasp.tokens)).named("digits")
    total, *others = (digit_at(place, digits) for place in range(N_OTHERS + 1))
    for place, digit in enumerate(others, 1):
        total = rasp.numerical(rasp.LinearSequenceMap(total, digit, 1, 1)).named(f"sum_{place}")
    contrast = Contrast(
        f"the sum is higher by {RISE}",
        f"the sum is lower by {RISE}",
        _raised(percent / 100),
        _with_room,
    )
    return Case(
        name=f"{NAME}_{percent}",
        family=NAME,
        description=(
            f"The sum of the first {N_OTHERS + 1} digits; all but the first fall in {percent}% of "
            "pairs where it rises."
        ),
        program=total,
        vocab=DIGITS,
        max_len=6,
        only_lengths=(6,),
        contrast=contrast,
    )


def _raised(share: float) -> Satisfy:
    """Raises the sum, while each of the others falls in exactly this share of inputs."""

    def switch_on(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
        n_fall = round(len(codes) * share)
        falls = [rng.permutation(len(codes)) < n_fall for _ in range(N_OTHERS)]
        moves = np.where(np.stack(falls, 1), -1, 1)
        codes = codes.copy()
        codes[:, 0] += RISE - moves.sum(1)
        codes[:, 1 : N_OTHERS + 1] += moves
        return codes

    return switch_on


def _with_room(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """Digits that can rise and fall as far as they may have to."""
    n = len(codes)
    codes = codes.copy()
    codes[:, 0] = rng.integers(n_tokens - RISE - N_OTHERS, size=n)
    codes[:, 1 : N_OTHERS + 1] = rng.integers(1, n_tokens - 1, size=(n, N_OTHERS))
    return codes


SIGN = Experiment(
    name=NAME,
    question="Are edges found whose effect is + in some pairs and - in others?",
    dial="pairs in which a digit moves against the answer, in percent",
    levels=(0, 25, 40, 50),
    tags=("cancellation",),
    build=build,
    directions=DIRECTIONS,
)
