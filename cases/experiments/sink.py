"""A head at rest: is a head found that attends to BOS unless something is there?

A head looks for the token behind a mark, and hands it on; where the input has no mark it attends to
BOS (on real models: attention sinks, Xiao et al., 2023), and the answer is `none`.

With or without a mark the head is certain: no gradient reaches its keys, and `eap` finds the two
edges behind them, of five. The others see the head start, stop or move. What it reads `exact` sees
in clean inputs with a mark, and denoising only in pairs with a mark on both sides, of which there
may be none where marks are rare. A check: beside that the dial moves little.
"""

from __future__ import annotations

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.sampling import Sampler

NAME = "sink"
MARK = "#"
TOKENS = (MARK, *"abcd")
LENGTH = 6


def build(percent: int) -> Case:
    """The case in which `percent` of the inputs have a mark."""
    mark = rasp.Map(lambda token: token == MARK, rasp.tokens).named("mark")
    before = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == query - 1)
    behind = rasp.Aggregate(before, mark, default=False).named("behind")
    there = rasp.Select(behind, rasp.Full(True), rasp.Comparison.EQ)
    return Case(
        name=f"{NAME}_{percent}",
        family=NAME,
        description=f"The token behind the mark, none without one; {percent}% of inputs have one.",
        program=rasp.Aggregate(there, rasp.tokens, default="none").named(NAME),
        vocab=TOKENS,
        max_len=LENGTH,
        only_lengths=(LENGTH,),
        sampler=_marked(percent / 100),
        inputs=lambda tokens: MARK not in tokens[-1:] and tokens.count(MARK) <= 1,
    )


def _marked(share: float) -> Sampler:
    def sample(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        codes = rng.integers(1, n_tokens, size=(n, length))
        there = np.flatnonzero(rng.random(n) < share)
        codes[there, rng.integers(length - 1, size=len(there))] = TOKENS.index(MARK)
        return codes

    sample.__doc__ = f"In {share:.0%} of inputs a mark is before another letter."
    return sample


SINK = Experiment(
    name=NAME,
    question="Is a head found that attends to BOS unless something is there?",
    dial="share of inputs in which it is, in percent",
    levels=(90, 60, 40, 20),
    tags=("saturation",),
    build=build,
)
