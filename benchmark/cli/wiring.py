"""The command that makes wired models, and what others say of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.cli.options import CaseArgument, output_option, parse_options
from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from knowncircuits.models.wired.wired import Wired


def wire(
    case: CaseArgument,
    steps: Annotated[
        list[str],
        typer.Argument(
            metavar="STEP...",
            help="Transformations in their order: back_up, delay, host, merge, move, oppose, "
            "rotate, scale, sharpen, split or squeeze, each with its parameters, as "
            "'rotate seed=1'.",
        ),
    ],
    output: Annotated[Path, output_option("Folder of the model.")],
) -> None:
    """Make a wired model: a case's compiled model after exact transformations."""
    from knowncircuits.cases.registry import load_case
    from knowncircuits.evaluation.figures.drawing import circuit_text
    from knowncircuits.models.wired.recipes import wire
    from knowncircuits.models.wired.stored import save_wired

    recipe = list(map(parse_step, steps))
    wired = wire(load_case(case).compile(), recipe)
    save_wired(wired, output)
    print(f"{recipe_text(wired)}\n\n{circuit_text(wired.circuit)}\n\nwrote {output}")


def parse_step(text: str) -> tuple[str, Mapping[str, Any]]:
    """A transformation with its parameters; raises InputError for what is none."""
    name, *parameters = text.split() or [""]
    if not name.isidentifier():
        raise InputError(f"expected a transformation like 'rotate seed=1', got {text!r}")
    return name, parse_options(parameters)


def recipe_text(wired: Wired) -> str:
    """The transformations, a line for each, with what was measured of what came of it."""
    lines = ["wired:"]
    for step in wired.recipe:
        said = " ".join(f"{name}={value}" for name, value in step.parameters.items())
        found = ", ".join(f"{name} {value:.3g}" for name, value in step.found.items())
        lines.append(f"  {step.transformation} {said}" + (f"  ({found})" if found else ""))
    return "\n".join(lines)


def load_wired_of(case: str, folder: Path) -> Wired:
    """The wired model of a case in a folder.

    Raises InputError for a model that is no wired one, ResultError for another folder or case.
    """
    from knowncircuits.evaluation.runs.subjects import load_subject
    from knowncircuits.models.wired.wired import Wired

    model = load_subject(case, folder)
    if not isinstance(model, Wired):
        raise InputError(f"expected the folder of a wired model, got {folder}, of a trained one")
    return model
