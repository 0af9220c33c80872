"""Norms: do they mislead, where nodes outside the circuit are loud?

The chain of `deep_4` with soft attention, in a host whose other heads and MLPs write three times as
much as its own, of which no answer depends.
"""

from __future__ import annotations

from dataclasses import replace

from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments import saturate
from knowncircuits.cases.experiments.experiment import Experiment

NAME = "norm"
PERCENT = 10  # sharpness of attention
HOST = {"layers": saturate.N_STEPS, "heads": 2, "loudness": 3.0}


def build(norm: str) -> Case:
    """The chain in its host, with LayerNorm, RMSNorm or none."""
    chain = saturate.build(PERCENT)
    norms = (("normalise", {"norm": norm}),) if norm != "none" else ()
    return replace(
        chain,
        name=f"{NAME}_{norm}",
        family=NAME,
        description=f"{chain.description[:-1]}; in a loud host, norm: {norm}.",
        wiring=(*chain.wiring, ("host", HOST), *norms),
    )


NORM = Experiment(
    name=NAME,
    question="Do norms mislead?",
    dial="norm",
    levels=("none", "rms", "layer"),
    tags=("norm",),
    build=build,
)
