"""A head and its antagonist: is found what leads to both?

A digit is read, turned twice on its way, and written by two heads: the mover says it, and the
antagonist takes a share of it back (on real models: negative name movers, Wang et al., 2022;
copy suppression, McDougall et al., 2023). The answer is what is left plus another digit, rounded.

Each of the two heads matters alone, whatever the share. What leads to both moves the answer by what
is left: by half a digit and more at 0 and 50%, by up to half a digit at 90%, and at 99% never
enough for another answer. Then patches, one at a time (`exact`, in both directions) or by removal
(`acdc`), give nothing to the edges in front of the pair, and `eap-ig-activations` nothing to those
into it either, since a source that moves alone moves both. Gradients do not see that the two undo
each other: the MLP has a unit for each combination of its inputs, and they see the one that is on
fall whichever input moves, but not the next one rise, which is just at its threshold. So `eap`,
`eap-ig-inputs` and `edge-sp`, whose masks are trained by gradients, find all.
"""

from __future__ import annotations

import math

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.places import read_at

NAME = "cancel"
DIGITS = tuple(range(6))


def build(percent: int) -> Case:
    """The antagonist takes back so much of what the mover writes."""
    first = read_at(0, rasp.tokens).named("first")
    moved = read_at(0, _turned(first)).named("moved")
    turned = _turned(moved)
    heads = [read_at(0, turned).named("mover")]
    if percent:
        heads.append(read_at(0, turned).named("antagonist"))
    second = read_at(1, rasp.tokens).named("second")

    def answer(second: int, mover: int, antagonist: int = 0) -> int:
        return math.floor(second + mover - antagonist * percent / 100 + 0.5)

    return Case(
        name=f"{NAME}_{percent}",
        family=NAME,
        description=(
            "The second digit plus the first one, turned on by two, of which an antagonist takes "
            f"back {percent}%; rounded."
        ),
        program=rasp.NarySequenceMap(answer, second, *heads).named("rounded"),
        vocab=DIGITS,
        max_len=len(DIGITS),
        only_lengths=(len(DIGITS),),
    )


def _turned(digit: rasp.SOp) -> rasp.SOp:
    """The next digit, and after the last one the first."""
    return rasp.Map(lambda d: (d + 1) % len(DIGITS), digit).named("turned")


CANCEL = Experiment(
    name=NAME,
    question="Is found what leads to a head and to its antagonist?",
    dial="share of the head that its antagonist takes back, in percent",
    levels=(0, 50, 90, 99),
    tags=("cancellation",),
    build=build,
)
