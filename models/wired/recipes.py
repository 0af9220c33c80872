"""All transformations by name, and models made by lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

from knowncircuits.cases.case import Case
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import UnknownNameError
from knowncircuits.models.wired.bases import rotate
from knowncircuits.models.wired.confined import confine
from knowncircuits.models.wired.copies import split
from knowncircuits.models.wired.delay import delay
from knowncircuits.models.wired.dimensions import squeeze
from knowncircuits.models.wired.hosts import host
from knowncircuits.models.wired.merging import merge
from knowncircuits.models.wired.movers import back_up, oppose
from knowncircuits.models.wired.norms import normalise
from knowncircuits.models.wired.sharpness import sharpen
from knowncircuits.models.wired.strengths import scale
from knowncircuits.models.wired.transformation import LAST, Transformation
from knowncircuits.models.wired.units import move
from knowncircuits.models.wired.wired import Step, Wired

TRANSFORMATIONS: Mapping[str, Transformation[...]] = {
    each.name: each
    for each in (
        *(back_up, confine, delay, host, merge, move, normalise),
        *(oppose, rotate, scale, sharpen, split, squeeze),
    )
}


# Hosts of the hard suite have 2 layers and heads more than the model; see `host` for loudness.
ROOM, LOUDNESS = 2, 3.0


def load_transformation(name: str) -> Transformation[...]:
    """Raises UnknownNameError for a name that is none's."""
    if name not in TRANSFORMATIONS:
        raise UnknownNameError("transformation", name, TRANSFORMATIONS)
    return TRANSFORMATIONS[name]


def wire(
    compiled: Compiled | Wired, recipe: Iterable[Step | tuple[str, Mapping[str, Any]]]
) -> Wired:
    """A model transformed step by step; the recipe of a wired model makes it again.

    Args:
        compiled: what to begin with.
        recipe: names of transformations with their parameters.

    Raises:
        UnknownNameError: for another transformation.
        ArgumentError, ModelError, GraphError: see the transformations.
    """
    wired = Wired.of(compiled) if isinstance(compiled, Compiled) else compiled
    for step in recipe:
        name, parameters = (
            (step.transformation, step.parameters) if isinstance(step, Step) else step
        )
        wired = load_transformation(name).apply(wired, parameters)
    return wired


def model_of(case: Case) -> Compiled | Wired:
    """A case's compiled model, wired where the case says how."""
    compiled = case.compile()
    return wire(compiled, case.wiring) if case.wiring else compiled


def hosted(case: Case) -> Wired:
    """A case's model in a host that is busy all over, at places and in bases drawn by its name.

    The weights of a compiled model alone give its circuit away, since nothing else is read. Here
    everything is read by something, and neither that nor the names of nodes say what is for an
    answer.
    A case whose wiring has a host of its own keeps that one, and one with norms its basis.
    """
    compiled, seed = case.compile(), crc32(case.name.encode())
    before = [step for step in case.wiring if step[0] not in LAST]
    last = [step for step in case.wiring if step[0] in LAST]
    config = wire(compiled, before).model.config
    sizes = {"layers": config.n_layers + ROOM, "heads": config.n_heads + ROOM}
    # Louder than the circuit, or the share of what is read would tell it from the rest.
    hosting = ("host", {**sizes, "seed": seed, "loudness": LOUDNESS})
    steps, names = list(case.wiring), {name for name, _ in case.wiring}
    if "host" not in names:
        steps = [*before, hosting, *last]
    if "normalise" not in names:  # what LayerNorm takes off depends on the basis
        steps.insert(len(steps) - len(last), ("rotate", {"seed": seed}))
    return wire(compiled, steps)
