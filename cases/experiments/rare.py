"""An exception to a rule: are edges found that matter on few inputs?

The answer is the second digit, but where the input ends with a mark it is the one after the first,
which a path of its own hands on. Of draws of 20 pairs 18% have a mark in a clean input where 1% of
inputs have one, and 46% at 3%. Without one no patch of that path changes anything: `exact` and
`acdc` miss it, and denoising without a mark in a corrupted input.

Gradients find most of it all the same. The MLP has a unit for each combination of its inputs, and a
gradient sees the one that is on fall, but not the next one rise, which is just at its threshold. So
`eap`, `eap-ig-inputs` and `edge-sp` lack only the head that looks for the mark.
"""

from __future__ import annotations

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.places import read_at
from knowncircuits.cases.sampling import Sampler

NAME = "rare"
MARK = "!"
DIGITS = tuple(range(4))
LENGTH = 4


def build(percent: int) -> Case:
    """The case in which `percent` of the inputs are exceptions."""
    there = rasp.Select(rasp.tokens, rasp.Full(MARK), rasp.Comparison.EQ)
    exception = rasp.Aggregate(there, rasp.Full(True), default=False).named("exception")
    first = read_at(0, rasp.tokens).named("first")
    turned = rasp.Map(lambda d: d if d == MARK else (d + 1) % len(DIGITS), first).named("turned")
    other = read_at(0, turned).named("other")
    second = read_at(1, rasp.tokens).named("second")
    return Case(
        name=f"{NAME}_{percent}",
        family=NAME,
        description=(
            f"The second digit; in {percent}% of inputs, those that end with {MARK}, the one after "
            "the first."
        ),
        program=rasp.NarySequenceMap(_answer, exception, other, second).named(NAME),
        vocab=(*DIGITS, MARK),
        max_len=LENGTH,
        only_lengths=(LENGTH,),
        sampler=_marked(percent / 100),
        inputs=lambda tokens: MARK not in tokens[:-1],
    )


def _answer(exception: bool, other: rasp.Value, second: rasp.Value) -> rasp.Value:
    return other if exception else second


def _marked(share: float) -> Sampler:
    def sample(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        codes = rng.integers(len(DIGITS), size=(n, length))
        codes[rng.random(n) < share, -1] = len(DIGITS)
        return codes

    sample.__doc__ = f"{share:.0%} of inputs end with a mark."
    return sample


RARE = Experiment(
    name=NAME,
    question="Are edges found that matter on few inputs?",
    dial="share of inputs, in percent",
    levels=(50, 10, 3, 1),
    tags=("weak",),
    build=build,
)
