"""The docs name every field and hold the current board; the workflow's commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.exports import BEGIN, END, board_markdown
from knowncircuits.leaderboard.schema import Conventions, Description
from knowncircuits.leaderboard.submission import read_submissions


def test_every_field_is_in_the_docs(root: Path) -> None:
    text = (root / "docs" / "leaderboard.md").read_text()
    for name in (*Description.model_fields, *Conventions.model_fields):
        assert f"`{name}`" in text, name


def test_the_board_in_the_docs_is_current(root: Path) -> None:
    """`leaderboard table SUBMISSIONS --save docs/leaderboard.md` writes it again."""
    submissions = root / "leaderboard" / "submissions" / "zoo1"
    read, refused = read_submissions(submissions)
    assert refused == []
    text = (root / "docs" / "leaderboard.md").read_text()
    shown = text.partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == board_markdown(Board.of(read).standings()).strip()


def test_the_workflows_commands_are_commands(root: Path) -> None:
    workflow = yaml.safe_load((root / ".github" / "workflows" / "leaderboard.yml").read_text())
    lines = [
        line
        for job in workflow["jobs"].values()
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
        if line.startswith("knowncircuits")
    ]
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line.partition(">>")[0])[1:]
        shown = CliRunner().invoke(app, [*words[:2], "--help"])
        assert shown.exit_code == 0
        for option in filter(re.compile("-").match, words[2:]):
            assert option in shown.output, line
