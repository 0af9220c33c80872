"""Attention ever more certain: are queries and keys found where heads hesitate no more?

The model of `deep_4`, four heads of which each queries by what the last one found, with all scores
times a share: at 5% a head attends to the chosen place e⁵ times as much as to others, at 100% e¹⁰⁰
times. The answers are the same. What changes is the gradient that gets through a softmax: `eap`
finds all edges of the soft model, and one step of the certain one. Gradients between two inputs
(`eap-ig-...`) hold out longer. Patches see no difference.
"""

from __future__ import annotations

from dataclasses import replace

from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments import deep
from knowncircuits.cases.experiments.experiment import Experiment

NAME = "saturate"
N_STEPS = 4


def build(percent: int) -> Case:
    """The sharpness of attention, in percent of a compiled model's."""
    chain = deep.build(N_STEPS)
    heads = [f"a{layer}.h0" for layer in range(N_STEPS)]
    softer = tuple(("sharpen", {"node": head, "factor": percent / 100}) for head in heads)
    return replace(
        chain,
        name=f"{NAME}_{percent}",
        family=NAME,
        description=f"{chain.description[:-1]}; attention is {percent}% as sharp.",
        wiring=softer if percent != 100 else (),
    )


SATURATE = Experiment(
    name=NAME,
    question="Are queries and keys found where attention is certain?",
    dial="sharpness of attention, in percent",
    levels=(5, 10, 30, 100),
    tags=("saturation",),
    build=build,
)
