"""Norms: do they mislead, where nodes outside the circuit are loud?

The chain of `deep_4` with soft attention, in a host whose other heads and MLPs write three times as
much as its own and change no answer. A norm divides by the size of all of it: what is loud makes
the chain quiet, and without it the chain is louder. Without norms every method is perfect.

With them an edge outside changes every logit a little. To first order that is much: of `eap` an
edge that makes a loud head louder is before six of the eight edges of the chain. Patches say how
far answers go, and `exact` and `acdc` stay right; denoising does not, since one edge of the
corrupted run that reads the clean one brings no answer back, and what is left is the norm's.
Masks (`edge-sp`) keep loud nodes as surely as the chain's, since answers come out surer with them.
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
