"""A wired model in its folder: weights, circuit, and the recipe that it was made by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from knowncircuits.architecture import TransformerConfig, from_document
from knowncircuits.cases.case import Case
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import GraphError, ModelError, ResultError
from knowncircuits.exchange import graph_file, write_graph_file
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import whole_folder, write_bytes, write_text
from knowncircuits.models.interop.tensors import check_sizes, read_safetensors, transformer_of
from knowncircuits.models.trained import case_of
from knowncircuits.models.wired.wired import Step, Wired
from knowncircuits.transformer import weights_hash

WIRED, WEIGHTS, CIRCUIT = "wired.json", "model.safetensors", "circuit.json"
FILES = (WIRED, WEIGHTS, CIRCUIT)


class StoredStep(BaseModel):
    """A transformation of the recipe."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    transformation: str
    parameters: dict[str, Any]
    found: dict[str, float]


class StoredWired(BaseModel):
    """`wired.json`."""

    model_config = ConfigDict(strict=True, frozen=True)

    case: str
    recipe: tuple[StoredStep, ...]
    transformer: Annotated[TransformerConfig, BeforeValidator(from_document)]
    hidden: tuple[int, ...]  # units that each MLP uses
    images: dict[str, tuple[str, ...]]
    varying: tuple[str, ...]
    weights: str  # their hash
    roles: dict[str, str] = {}  # older folders have none


SCHEMA = TypeAdapter(StoredWired)


@takes(wired=Wired, folder=str | Path)
def save_wired(wired: Wired, folder: str | Path) -> None:
    """Write the model's folder whole, by one rename; other files that are there stay.

    Raises ResultError if that fails.
    """
    from safetensors.torch import save

    model, circuit = wired.model, wired.circuit
    document = {
        "case": wired.compiled.name,
        "recipe": [vars(step) for step in wired.recipe],
        "transformer": model.config.document(),
        "hidden": model.hidden,
        "images": dict(wired.images),
        "varying": sorted(wired.varying),
        "weights": weights_hash(model),
        "roles": dict(wired.roles),
    }
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    with whole_folder(Path(folder), FILES.__contains__) as new:
        write_text(new / WIRED, json.dumps(document, indent=1) + "\n", lasting=False)
        write_bytes(new / WEIGHTS, save(state), lasting=False)
        file = graph_file(circuit.graph, circuit=circuit, d_model=model.config.d_model)
        write_graph_file(file, new / CIRCUIT)


def is_wired(folder: str | Path) -> bool:
    """Whether a folder holds a wired model."""
    return (Path(folder) / WIRED).is_file()


@takes(folder=str | Path, case=Case | None)
def load_wired(folder: str | Path, *, case: Case | None = None) -> Wired:
    """Read a model's folder; nothing is made again, so that weights are the very same.

    Args:
        folder: what `save_wired` wrote.
        case: that the model is of, where it is the user's own; see `load_trained`.

    Raises:
        ResultError: for files that are missing, broken, or do not belong together, or a model of
            another case.
        UnknownNameError: for a case that there is not.
    """
    folder = Path(folder)
    try:
        stored = read_as(SCHEMA, folder / WIRED, "the description of a wired model")
        check_sizes(stored.transformer)
        weights = read_safetensors(folder / WEIGHTS)
        model = transformer_of(stored.transformer, weights, stored.hidden)
        if weights_hash(model) != stored.weights:
            raise ModelError(
                f"expected weights {stored.weights[:12]}, got {weights_hash(model)[:12]}"
            )
        compiled = case_of(stored.case, case).compile(dtype=model.dtype)
        wired = Wired(
            model.requires_grad_(False),
            compiled,
            stored.images,
            frozenset(stored.varying),
            tuple(Step(**dict(step)) for step in stored.recipe),
            stored.roles,
        )
        _ = wired.circuit  # of edges that there are
    except (GraphError, ModelError, ResultError) as error:
        raise ResultError(f"{folder}: expected the folder of a wired model: {error}") from error
    return wired
