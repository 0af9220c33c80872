"""Many equal small parts: are heads found of which each is too weak to change the answer?

A head takes the share of x in the input, and an MLP says how many that are. The head is split into
2 to 16, each of which writes an equal part of the share. Patch one of them, and the logits move
where the two inputs' counts differ by more than a quarter of the number of heads.

So `exact` finds fewer pairs that show a head the more there are, and none at 16, in either
direction. `acdc` removes heads as long as the count stays: the first one or two. The MLP's steps
have no slope at the corrupted run, where `eap` finds the last edge alone, nor where a single head
moves: `eap-ig-activations` misses the edges out of heads. Between the two runs they have, and all
heads are equal to `eap-ig-inputs`, which finds all; so does `edge-sp`.
"""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment

NAME = "fan_in"
TOKENS = tuple("xyz")
LENGTH = 4
HEAD = "a1.h0"  # the one that is split


def build(n_heads: int) -> Case:
    """The case in which `n_heads` heads have an equal part each."""
    is_x = rasp.numerical(rasp.Map(lambda token: token == "x", rasp.tokens)).named("is_x")
    everywhere = rasp.Select(rasp.indices, rasp.Full(0), rasp.Comparison.GEQ)
    share = rasp.numerical(rasp.Aggregate(everywhere, is_x, default=0)).named("share")
    heads = [f"a1.h{i}" for i in range(n_heads)]
    return Case(
        name=f"{NAME}_{n_heads}",
        family=NAME,
        description=f"How many x are in the input, by {n_heads} heads with an equal part each.",
        program=rasp.categorical(rasp.Map(lambda part: round(LENGTH * part), share)).named("count"),
        vocab=TOKENS,
        max_len=LENGTH,
        only_lengths=(LENGTH,),
        wiring=(("split", {"head": HEAD, "over": heads}),),
    )


FAN_IN = Experiment(
    name=NAME,
    question="Are heads found of which each is too weak to change the answer?",
    dial="heads with an equal part",
    levels=(2, 4, 8, 16),
    tags=("weak",),
    build=build,
)
