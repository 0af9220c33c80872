"""All transformations by name, and models made by lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from knowncircuits.cases.case import Case
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import UnknownNameError
from knowncircuits.models.wired.bases import rotate
from knowncircuits.models.wired.copies import split
from knowncircuits.models.wired.dimensions import squeeze
from knowncircuits.models.wired.hosts import host
from knowncircuits.models.wired.sharpness import sharpen
from knowncircuits.models.wired.strengths import scale
from knowncircuits.models.wired.transformation import Transformation
from knowncircuits.models.wired.units import move
from knowncircuits.models.wired.wired import Step, Wired

TRANSFORMATIONS: Mapping[str, Transformation[...]] = {
    each.name: each for each in (host, move, rotate, scale, sharpen, split, squeeze)
}


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
