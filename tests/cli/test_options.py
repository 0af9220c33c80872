"""One name for one thing: the options of all commands."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import typer.main

from knowncircuits.cli import app

# What has the same meaning in several commands is called the same.
SHORT = {"case": "-c", "output": "-o", "jobs": "-j", "option": "-x", "method": "-m", "number": "-n"}


def options() -> dict[str, dict[str, Any]]:
    """The options of every command, by the long name."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)

    def walk(command: Any, path: str) -> None:
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}".strip())
        for parameter in command.params:
            if path and parameter.param_type_name == "option":
                for spelling in parameter.opts:
                    if spelling.startswith("--"):
                        found[spelling.removeprefix("--")][path] = parameter

    walk(typer.main.get_command(app), "")
    found.pop("help", None)
    return found


def test_an_option_has_one_spelling_and_one_short_form() -> None:
    for name, commands in options().items():
        for command, option in commands.items():
            want = [f"--{name}", *([SHORT[name]] if name in SHORT else [])]
            assert option.opts == want, f"{command}: {option.opts}"


def test_cases_are_chosen_alike() -> None:
    """Whatever goes over many cases takes all three ways to name them."""
    found = options()
    over_many = {"score", "cases", "models list", "models check", "models train"}
    for name in ("suite", "family", "case"):
        assert over_many <= set(found[name]), name
    assert over_many - {"cases"} <= set(found["variant"])
    assert {"score", "faithfulness", "models train"} <= set(found["jobs"])
    gone = {"cases", "processes", "over", "folders", "file", "out"}
    assert not gone & set(found)


def test_scores_have_a_resolution_wherever_they_are_ranked() -> None:
    assert set(options()["resolution"]) == {
        "score",
        "compare",
        "budget",
        "radar",
        "substitutes",
        "faithfulness",
        "agreement",
    }
