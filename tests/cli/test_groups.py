"""A parameter that is a dataclass: its fields are options, and the command gets it whole."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from knowncircuits.cli.groups import TrackingOptions, grouped
from knowncircuits.errors import InputError


@dataclass(frozen=True)
class Sizes:
    """Two options."""

    width: Annotated[int, typer.Option("--width", "-w", min=1, help="How wide.")]
    height: Annotated[int, typer.Option(help="How high.")] = 2


app = typer.Typer()


@app.command()
@grouped
def area(name: str, sizes: Sizes, loud: bool = False) -> None:
    """Multiply."""
    assert isinstance(sizes, Sizes)
    print(name.upper() if loud else name, sizes.width * sizes.height)


def test_fields_are_options() -> None:
    for words, text in (
        (["x", "-w", "3"], "x 6\n"),
        (["x", "--height", "5", "--loud", "--width", "3"], "X 15\n"),
    ):
        assert CliRunner().invoke(app, words).output == text
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(part in shown for part in ("How wide.", "How high.", "--loud", "Multiply."))


def test_fields_stand_where_their_group_does() -> None:
    """After options with defaults, too: what a command is about is first in its help."""

    @grouped
    def volume(name: str, *, deep: int = 1, sizes: Sizes, loud: bool = False) -> None: ...

    assert list(inspect.signature(volume).parameters) == ["name", "deep", "width", "height", "loud"]


@pytest.mark.parametrize("words", [["x"], ["x", "-w", "0"], ["x", "-w", "1", "--sizes", "2"]])
def test_fields_are_checked_as_options_are(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2


def test_a_group_checks_what_does_not_go_together() -> None:
    assert TrackingOptions("project", "offline").wandb_mode == "offline"
    with pytest.raises(InputError, match="expected --wandb PROJECT with --wandb-mode"):
        TrackingOptions(wandb_mode="offline")
