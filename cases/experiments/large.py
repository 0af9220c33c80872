"""A large graph: is a small circuit found in it?

The chain of `deep_4` with soft attention, set into a host of up to 100,000 edges, all of whose
heads and MLPs compute something from all there is, the chain's variables too.

A check: in exact arithmetic an edge outside has no effect and no gradient, however many there are,
and methods find the chain at every size. What grows is what they cost: one backward pass for `eap`,
a run for each edge that may matter for `exact`, one for each node and step for
`eap-ig-activations`.
"""

from __future__ import annotations

from dataclasses import replace

from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments import saturate
from knowncircuits.cases.experiments.experiment import Experiment

NAME = "large"
PERCENT = 10  # sharpness of attention
HOSTS = {100: (4, 1), 1_000: (4, 6), 10_000: (8, 10), 100_000: (16, 16)}  # layers, heads


def build(n_edges: int) -> Case:
    """About so many edges, of which eight are in the circuit."""
    chain = saturate.build(PERCENT)
    layers, heads = HOSTS[n_edges]
    host = ("host", {"layers": layers, "heads": heads, "loudness": 1.0})
    return replace(
        chain,
        name=f"{NAME}_{n_edges}",
        family=NAME,
        description=f"{chain.description[:-1]}; in a host of {layers} layers and {heads} heads.",
        wiring=(*chain.wiring, host),
    )


LARGE = Experiment(
    name=NAME,
    question="Is a small circuit found in a large graph?",
    dial="edges, about",
    levels=tuple(HOSTS),
    tags=("scale",),
    build=build,
)
