"""Arguments and options that several commands share, and what is read from them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from knowncircuits.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Metric(StrEnum):
    """Metrics of a task."""

    kl = "kl"
    l2 = "l2"
    logit_diff = "logit_diff"
    prob_diff = "prob_diff"
    label_loss = "label_loss"


class PatchedEdges(StrEnum):
    """Ablations of a task."""

    resample = "resample"
    mean = "mean"
    zero = "zero"


class Granularity(StrEnum):
    """What is ablated, one at a time."""

    node = "node"
    head = "head"
    edge = "edge"


class Theme(StrEnum):
    """Colours of figures."""

    default = "default"
    colourblind = "colourblind"


class WandbMode(StrEnum):
    """Where W&B's runs go."""

    online = "online"
    offline = "offline"
    disabled = "disabled"


CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="A case; see `cases`.")]


WandbOption = Annotated[
    str | None, typer.Option(metavar="PROJECT", help="Log to Weights & Biases.")
]
WandbModeOption = Annotated[
    WandbMode | None, typer.Option(help="By default what WANDB_MODE says, or online.")
]
SuiteOption = Annotated[
    str, typer.Option(help="Of cases: all, interpbench, structural or degenerate.")
]
VariantOption = Annotated[
    str | None, typer.Option(help="Of the trained models: seed0 (default), seed1, shuffled.")
]


SaveOption = Annotated[
    list[Path] | None,
    typer.Option(help="A file: .csv, .json, .html, .png, .pdf or .svg; may be repeated."),
]


ThemeOption = Annotated[Theme, typer.Option(help="Colours of figures.")]


FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="A folder of models; default: the shipped ones.")
]


def parse_options(texts: Sequence[str] | None) -> dict[str, Any]:
    """NAME=VALUE pairs; values that read as JSON are what they say, others are text."""
    import json

    options: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"expected an option like batch_size=64, got {text!r}")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def check_device(device: str) -> None:
    """Raise InputError for a device that there is not."""
    import torch

    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"expected device cpu, or cuda where there is one, got {device!r}")


def load_subject(
    case: str, variant: str | None, compiled: bool, model: Path | None
) -> tuple[Any, str]:
    """The compiled or trained model that options ask for, and its name."""
    from knowncircuits.cases import load_case
    from knowncircuits.models.trained import load_trained
    from knowncircuits.models.zoo import load_model

    if sum((compiled, model is not None, variant is not None)) > 1:
        raise InputError("expected one of --variant, --compiled and --model, got several")
    if compiled:
        return load_case(case).compile(), f"{case} (compiled)"
    if model is None:
        return load_model(case, variant or "seed0"), f"{case} ({variant or 'seed0'})"
    trained = load_trained(model)
    if trained.compiled.name != case:
        raise InputError(f"expected a model of {case} in {model}, got {trained.compiled.name}")
    return trained, f"{case} ({model})"


def check_tracking(wandb: str | None, mode: WandbMode | None) -> None:
    """Raise InputError for a mode of W&B without a project."""
    if mode and not wandb:
        raise InputError("expected --wandb PROJECT with --wandb-mode, got no project")
