"""Every command that docs, pages, workflows and messages name is one that there is."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from knowncircuits.cli import app

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "leaderboard/site/templates/*.html",
    ".github/workflows/*.yml",
)
SOURCES = ("benchmark", "cases", "models", "evaluation", "leaderboard")
# What stands for a number or for more words; other capitals do as they are.
STANDS_FOR = {"N": "2", "...": "", "METHOD...": "eap", "TOKEN...": "a", "RESULTS...": "results"}


def shell_commands(text: str) -> Iterator[str]:
    """The commands on lines of their own, with what goes on behind a backslash."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        start = re.match(r"\s*(?:\$ |run: |- run: |<pre[^>]*><code>)?(.*)", line)
        if start and re.match(r"(.*&& )?knowncircuits [a-z]", start[1]):
            code = html.unescape(start[1].partition("</code>")[0])
            # The zoo that a page is about.
            code = code.replace("{{ zoo_option }}", "1").replace("{{ zoo_folder }}", "zoo1")
            yield from re.split(r"&&|;| \||>>", code)


def inline_commands(text: str) -> Iterator[str]:
    """The commands in backticks; a value that a message fills in counts as a name."""
    for found in re.findall(r"`(knowncircuits [^`]+)`", text):
        yield from re.sub(r"\{[^}]*\}", "x", re.sub(r'"?\s*\n\s*f?"?', " ", found)).split("&&")


def commands_of(path: Path) -> list[str]:
    text = path.read_text()
    found = [*inline_commands(text), *(() if path.suffix == ".py" else shell_commands(text))]
    return [c.strip() for c in found if re.match(r"\s*knowncircuits [a-z]", c)]


def documented() -> dict[str, str]:
    """Each command with a page that has it."""
    paths = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    paths += [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    return {
        command: path.relative_to(ROOT).as_posix()
        for path in paths
        for command in commands_of(path)
    }


def parse(words: list[str]) -> None:
    """As the command line reads words, short of running the command, or a user's own code."""
    command: Any = typer.main.get_command(app)
    named = 0
    while hasattr(command, "commands"):
        name = words[named] if len(words) > named else "list"
        assert name in command.commands, f"unknown command {name}"
        command, named = command.commands[name], named + 1
    rest = words[named:]
    # A command that is only named, as "`knowncircuits effects` measures", lacks its arguments.
    if rest:
        command.make_context(name, rest)


def test_there_are_commands_on_every_page() -> None:
    assert len(documented()) > 60
    assert {"README.md", "docs/leaderboard.md", "leaderboard/site/templates/submit.html"} <= set(
        documented().values()
    )


@pytest.mark.parametrize(("command", "page"), documented().items())
def test_a_documented_command_is_one_that_there_is(command: str, page: str) -> None:
    words = [re.sub(r"[\w/]+(\.py)?:(\w+)$", r"\2", word) for word in shlex.split(command)[1:]]
    parse([STANDS_FOR.get(word, word) for word in words if STANDS_FOR.get(word, word)])


@pytest.mark.parametrize("page", ["docs/leaderboard.md", "leaderboard/site/templates/submit.html"])
def test_the_way_from_a_method_to_a_site(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as documented, on one case and five pairs: `submit` once failed for want of --version."""
    (tmp_path / "my_module.py").write_text(
        "def my_method(task):\n    return dict.fromkeys(task.graph.edges, 1.0)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = ("score", "submit", "validate")
    mine = [c for c in commands_of(ROOT / page) if "my_method" in c or "my-method" in c]
    mine.sort(key=lambda c: next(i for i, step in enumerate(steps) if f" {step} " in c))
    assert len(mine) >= len(steps)
    for command in mine:
        few = ["-c", "fraction_of_x", "--pairs", "5"] if " score " in command else []
        done = CliRunner().invoke(app, [*shlex.split(command)[1:], *few])
        assert done.exit_code == 0, f"{command}\n{done.output}{done.exception}"
    assert (next(tmp_path.rglob("my-method")) / "submission.json").exists()
