"""Options that belong together: a parameter that is a dataclass, whose fields are options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from knowncircuits.cli.options import (
    CasesOption,
    JobsOption,
    ThemeOption,
    ZooOption,
    choose_cases,
    choose_variants,
    parse_options,
    save_option,
)
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError
from knowncircuits.models.choices import DEFAULT_ZOO, ZooVersion
from knowncircuits.work.choices import ExecutorName
from knowncircuits.work.executor import Executor
from knowncircuits.work.tracking import Mode

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from knowncircuits.models.zoo.shelf import Zoo


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for every field of its parameters that are dataclasses.

    Typer reads a command's signature: there the fields stand in the place of their group.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }

    @wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    def options() -> Iterator[inspect.Parameter]:
        for name, parameter in signature.parameters.items():
            for option in _fields(groups[name]) if name in groups else [parameter]:
                yield option.replace(kind=inspect.Parameter.KEYWORD_ONLY)

    run.__signature__ = signature.replace(parameters=list(options()))  # type: ignore[attr-defined]
    return run


def _fields(group: type[Any]) -> Iterator[inspect.Parameter]:
    """The fields as parameters; each annotation is read where its class was written."""
    hints = get_type_hints(group, include_extras=True)
    for name, field in inspect.signature(group).parameters.items():
        yield field.replace(annotation=hints[name])


@dataclass(frozen=True)
class CaseOptions:
    """Which cases: named, or those of a suite and a family."""

    case: CasesOption = None
    suite: Annotated[
        str | None,
        typer.Option(
            help="Suite of cases: all (default), interpbench, structural, degenerate, hard, "
            "components, modalities or generated."
        ),
    ] = None
    family: Annotated[str | None, typer.Option(help="Take only the cases of this family.")] = None

    @property
    def named(self) -> bool:
        """Whether any option says which."""
        return bool(self.case or self.suite or self.family)

    def names(self) -> list[str]:
        """Their names; raises UnknownNameError and InputError for options that name none."""
        return choose_cases(self.case, self.suite, self.family)

    def names_in(self, zoo: Zoo) -> list[str]:
        """The same of the models of a zoo; where no option names any, all of a user's own zoo."""
        return self.names() if self.named or not zoo.own else list(zoo.cases)


@dataclass(frozen=True)
class VariantOptions:
    """Which of the trained models of cases."""

    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Variant of the models: seed0, seed1, shuffled (zoo 1), seed2 (zoo 2) or all; may "
            "be repeated."
        ),
    ] = None
    zoo: ZooOption = None

    @property
    def version(self) -> ZooVersion:
        """The release; raises InputError for a folder of one's own, which is none."""
        if isinstance(self.zoo, Path):
            raise InputError(f"expected the number of a release for --zoo, got {self.zoo}")
        release: ZooVersion = self.zoo or DEFAULT_ZOO
        return release

    @property
    def shelf(self) -> Zoo:
        """The zoo that the models are of."""
        from knowncircuits.models.zoo.shelf import find_zoo

        return find_zoo(self.zoo)

    def in_folder(self, folder: Path | None) -> Zoo:
        """The models in a folder, by default those of the zoo."""
        from knowncircuits.models.zoo.shelf import Zoo

        return Zoo(folder, self.version) if folder else self.shelf

    def chosen(self, default: str, zoo: Zoo | None = None) -> list[str]:
        """Each once; raises UnknownNameError for a variant that the zoo does not have."""
        return choose_variants(self.variant, default, zoo or self.shelf)


@dataclass(frozen=True)
class TrackingOptions:
    """Where a run is logged; raises InputError for a mode of W&B without a project."""

    wandb: Annotated[
        str | None, typer.Option(metavar="PROJECT", help="Log to Weights & Biases.")
    ] = None
    wandb_mode: Annotated[
        Mode | None, typer.Option(help="Mode of W&B; by default what WANDB_MODE says, or online.")
    ] = None

    def __post_init__(self) -> None:
        if self.wandb_mode and not self.wandb:
            raise InputError("expected --wandb PROJECT with --wandb-mode, got no project")


@dataclass(frozen=True)
class ExecutorOptions:
    """Who does the work, and how much of it at a time."""

    jobs: JobsOption = 1
    executor: Annotated[
        ExecutorName,
        typer.Option("--executor", help="Where to run: processes here, arrays of SLURM, or Ray."),
    ] = "local"
    executor_option: Annotated[
        list[str] | None,
        typer.Option(
            "--executor-option",
            metavar="NAME=VALUE",
            help="Set an option of submitit or of Ray's actors, as slurm_partition=cpu; may be "
            "repeated.",
        ),
    ] = None

    def chosen(self) -> Executor:
        """Raises InputError and MissingExtraError as `choose_executor` does."""
        from knowncircuits.work.choosing import choose_executor

        return choose_executor(self.executor, self.jobs, parse_options(self.executor_option))


@dataclass(frozen=True)
class FileOptions:
    """Files of a table and of its figure."""

    save: Annotated[list[Path] | None, save_option()] = None
    theme: ThemeOption = "default"

    def check(self) -> None:
        """Make their folders; raises ResultError where one cannot be written."""
        from knowncircuits.evaluation.figures.files import check_files

        check_files(self.save or ())

    def draw(self, figure: Callable[[], go.Figure]) -> go.Figure | None:
        """The figure, if a file shows it."""
        from knowncircuits.evaluation.figures.files import wants_figure

        return figure() if wants_figure(self.save or ()) else None

    def write(self, table: pd.DataFrame, figure: go.Figure | None, to: Output) -> None:
        """Write them all, each by its ending."""
        from knowncircuits.evaluation.figures.files import save_effects

        for path in self.save or ():
            save_effects(table, figure, path)
            to.say(f"wrote {path}")
