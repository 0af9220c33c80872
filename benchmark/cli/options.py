"""Arguments and options that several commands share, and what is read from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import FigureFormat, ThemeName
from knowncircuits.models.choices import DEFAULT_ZOO, OWN_ZOO, ZooChoice, ZooVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from knowncircuits.models.zoo.shelf import Zoo


Format = Literal["table", "csv", "json"]  # how a table is printed

MAX_SEED = 2**32 - 1  # the largest that all of NumPy's generators take
MAX_DRAWS = 10_000
MAX_PAIRS = 1_000_000
MAX_INPUTS = 1_000  # of which all pairs are patched
MAX_JOBS = 1_000


def to_path(text: str | Path) -> Path:
    """A file or folder; an empty text, as of a shell's variable that is not set, is none."""
    if not str(text) or "\0" in str(text):
        raise typer.BadParameter(f"expected the name of a file or folder, got {text!r}")
    return Path(text)


def to_zoo(text: str | Path) -> Any:
    """A release of the trained models, or a folder."""
    releases = {str(version): version for version in get_args(ZooVersion)}
    return releases.get(str(text)) or to_path(text)


def case_name(text: str) -> str:
    """The name of a case; one of a user's own, as FILE.py:CASE or MODULE:CASE, is read for it.

    Only what is typed is read so: a name in a file that a command is given imports nothing.
    """
    if ":" not in text:
        return text
    from knowncircuits.cases.registry import import_case

    return import_case(text).name


def level(text: str | float) -> float:
    """The level of a test: above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise typer.BadParameter(f"expected a number above 0 and below 1, got {text!r}")
    return value


def parse_scales(text: str) -> list[float]:
    """Numbers with commas between them; raises InputError for any others."""
    try:
        scales = [float(part) for part in text.split(",")]
    except ValueError:
        scales = []
    if not scales or not all(map(math.isfinite, scales)):
        raise InputError(f"expected finite scales like 0,0.5,1, got {text!r}")
    return scales


# The names of options are the same in all commands, since commands take them from here. What an
# option says of itself differs with the command where its help is an argument.

CASE_HELP = "A case; see `cases`. Or your own: FILE.py:CASE or MODULE:CASE."
CaseArgument = Annotated[str, typer.Argument(metavar="CASE", parser=case_name, help=CASE_HELP)]
CasesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--case",
        "-c",
        metavar="CASE",
        parser=case_name,
        help="Take only this case, or your own as FILE.py:CASE, or all of FILE.json, which "
        "`generate` has written; may be repeated.",
    ),
]
OwnCaseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--case",
        "-c",
        metavar="CASE",
        parser=case_name,
        help="Your own case that a model is of: FILE.py:CASE or MODULE:CASE; may be repeated.",
    ),
]
VariantOption = Annotated[
    str | None,
    typer.Option("--variant", help="Variant of the trained model: seed0 (default), seed1, ..."),
]
ZooOption = Annotated[
    Any,  # what `to_zoo` returns, or None: typer takes no union of two types
    typer.Option(
        "--zoo",
        metavar="1|2|FOLDER",
        parser=to_zoo,
        help="Which release of the trained models, or a folder of your own, CASE/VARIANT; "
        f"default: what {OWN_ZOO} says, or {DEFAULT_ZOO}.",
    ),
]
ReleaseOption = Annotated[
    ZooVersion | None,
    typer.Option("--zoo", help=f"Which release of the trained models; default: {DEFAULT_ZOO}."),
]
OwnZooOption = Annotated[
    Path | None,
    typer.Option(
        "--zoo",
        metavar="FOLDER",
        parser=to_path,
        help="Your own models that submissions are about, CASE/VARIANT; "
        f"default: the folder that {OWN_ZOO} says, if any.",
    ),
]
CompiledOption = Annotated[
    bool, typer.Option("--compiled", help="Take the compiled model, not a trained one.")
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--model", parser=to_path, help="Your own model, trained or wired: a folder."),
]
JobsOption = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", min=1, max=MAX_JOBS, help="Jobs to work on at a time, with a thread each."
    ),
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", min=1, max=MAX_DRAWS, help="Draws of pairs for each model.")
]
MethodsOption = Annotated[
    list[str] | None, typer.Option("--method", "-m", help="Take only this method; may be repeated.")
]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="Print a table for people, or data with all columns and digits."),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", help="Device that computes: cpu, cuda, or another that torch has."),
]
StackOption = Annotated[
    int,
    typer.Option(
        "--stack",
        min=1,
        max=4096,
        help="Train so many models of one shape in one batch, in this process: for GPUs.",
    ),
]


def output_option(text: str) -> Any:
    """A folder that a command writes."""
    return typer.Option("--output", "-o", parser=to_path, help=text)


def pairs_option(text: str = "Clean/corrupted pairs for each model.") -> Any:
    """How many pairs of inputs."""
    return typer.Option("--pairs", min=1, max=MAX_PAIRS, help=text)


def seed_option(text: str) -> Any:
    """A seed, or the first of several."""
    return typer.Option("--seed", min=0, max=MAX_SEED, help=text)


def inputs_option(text: str = "Inputs; effects are measured on all ordered pairs of them.") -> Any:
    """How many inputs, of which pairs are made."""
    return typer.Option("--inputs", min=2, max=MAX_INPUTS, help=text)


def setting_option(text: str) -> Any:
    """NAME=VALUE; see `parse_options`."""
    return typer.Option("--option", "-x", metavar="NAME=VALUE", help=f"{text}; may be repeated.")


ResultsArgument = Annotated[
    list[Path],
    typer.Argument(parser=to_path, help="Result files of `score`, or folders of them."),
]
FiguresOption = Annotated[FigureFormat, typer.Option(help="Format of the figures.")]
ResolutionOption = Annotated[
    float,
    typer.Option(help="Count scores as ties that differ by less than this share of the largest."),
]


def save_option(text: str = ".csv, .json, .html, .png, .pdf or .svg") -> Any:
    """Files that a command writes, by their endings."""
    return typer.Option(
        "--save", metavar="FILE", parser=to_path, help=f"A file: {text}; may be repeated."
    )


ThemeOption = Annotated[ThemeName, typer.Option(help="Colours of figures.")]


FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", parser=to_path, help="A folder of models; default: the shipped ones."),
]


def choose_cases(
    cases: Sequence[str] | None, suite: str | None = None, family: str | None = None
) -> list[str]:
    """The cases that -c names, or else those of a suite and a family, by default all."""
    from knowncircuits.cases.registry import import_cases, list_cases, load_case

    if cases and (suite or family):
        raise InputError("expected -c, or --suite and --family, got both")
    if cases:
        found = [
            import_cases(name) if name.endswith(".json") else [load_case(name)] for name in cases
        ]
        return list(dict.fromkeys(case.name for of_name in found for case in of_name))
    return list(list_cases(suite or "all", family=family))


def choose_variants(variants: Sequence[str] | None, default: str, zoo: Zoo) -> list[str]:
    """The variants of a zoo that are named, each once; `all` stands for all of them."""
    named = dict.fromkeys(variants or [default])
    for variant in named:
        if variant != "all":
            zoo.check_variant(variant)
    return list(zoo.variants) if "all" in named else list(named)


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
        except (ValueError, RecursionError):  # the latter for 3,000 brackets
            options[name] = value
    return options


def check_device(device: str) -> None:
    """Raise InputError for a device that there is not."""
    import torch

    try:
        found = torch.empty(1, device=device)
        there = found.device.type != "meta"  # which computes nothing
    except (RuntimeError, AssertionError):  # the latter of a torch that knows no cuda
        there = False
    if not there:
        raise InputError(f"expected device cpu, or cuda where there is one, got {device!r}")


def load_chosen(
    case: str,
    variant: str | None,
    zoo: ZooChoice | None,
    *,
    compiled: bool = False,
    model: Path | None = None,
    device: str = "cpu",
) -> tuple[Any, str]:
    """The compiled or trained model that options ask for, and its name."""
    from knowncircuits.evaluation.runs.results import COMPILED
    from knowncircuits.evaluation.runs.subjects import load_subject
    from knowncircuits.models.zoo.shelf import find_zoo

    check_one_kind(compiled, model is not None, trained=bool(variant or zoo))
    check_device(device)
    if compiled or model is not None:
        subject = COMPILED if model is None else model
        return load_subject(case, subject).to(device=device), f"{case} ({subject})"
    of, kind = find_zoo(zoo), variant or "seed0"
    of_zoo = "" if not of.own and of.version == 1 else f" of {of.name}"
    return of.load(case, kind).to(device=device), f"{case} ({kind}{of_zoo})"


def check_one_kind(compiled: bool, own: bool, *, trained: bool, hosted: bool = False) -> None:
    """Raise InputError where options ask for models of several kinds at once."""
    if compiled + own + trained + hosted > 1:
        kinds = "--compiled, --hosted" if hosted else "--compiled"
        raise InputError(
            f"expected one of --variant (with --zoo), {kinds} and --model, got several"
        )
