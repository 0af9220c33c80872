"""A sum with ever smaller weights: are edges found whose share of the answer is small?

The answer is the first token plus r times the second plus r² times the third plus r³ times the
fourth. Squared distances, the effects of patches on numbers, fall with the square of the weights:
r⁶ for the last. Whether that still counts is a question of thresholds (`acdc`) and of rounding.
"""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.places import digit_at

NAME = "faint"
N_TERMS = 4
DIGITS = tuple(range(6))


def build(percent: int) -> Case:
    """The ratio of a weight to the one before it, in percent."""
    ratio = percent / 100
    digits = rasp.numerical(rasp.Map(float, rasp.tokens)).named("digits")
    total, *others = (digit_at(place, digits) for place in range(N_TERMS))
    for place, digit in enumerate(others, 1):
        total = rasp.numerical(rasp.LinearSequenceMap(total, digit, 1, ratio**place))
        total = total.named(f"sum_{place}")
    weights = ", ".join(f"{ratio**place:g}" for place in range(N_TERMS))
    return Case(
        name=f"{NAME}_{percent}",
        family=NAME,
        description=f"The sum of the first {N_TERMS} digits, weighted with {weights}.",
        program=total,
        vocab=DIGITS,
        max_len=len(DIGITS),
        only_lengths=(len(DIGITS),),
    )


FAINT = Experiment(
    name=NAME,
    question="Are edges found whose share of the answer is small?",
    dial="weight of a term over that of the last one, in percent",
    levels=(100, 30, 10, 3),
    tags=("weak",),
    build=build,
)
