"""A board logged to W&B for real, offline, and read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.submission import Submission, write_submission
from knowncircuits.leaderboard.truth import certified_models
from offline_wandb import runs

pytestmark = pytest.mark.usefixtures("wandb_home")


def test_a_board_is_a_run_with_its_table(make: Callable[..., Submission], tmp_path: Path) -> None:
    submissions = [make("a"), make("b", keys=("identity/seed0",))]
    for submission in submissions:
        write_submission(submission, tmp_path / "in")
    words = [
        "leaderboard",
        "table",
        str(tmp_path / "in"),
        "--suite",
        "degenerate",
        "--view",
        "head",
    ]
    done = CliRunner().invoke(app, [*words, "--wandb", "boards", "--wandb-mode", "offline"])
    assert done.exit_code == 0, done.output
    (run,) = runs(tmp_path)
    standings = Board.of(submissions).standings("degenerate", "head")
    assert run.exit_code == 0
    assert (run.config["slice"], run.config["view"]) == ("degenerate", "head")
    models = certified_models(1)
    assert run.config["models"] == {key: model.weights for key, model in models.items()}
    table = run.tables["leaderboard"]
    assert table["columns"] == list(standings.columns)
    rows = standings.astype(object).where(standings.notna(), None).to_numpy().tolist()
    assert table["data"] == rows
    assert run.summary["a/auroc"] is None  # some models only
    assert run.artifacts["leaderboard"] == ("leaderboard", {"board.csv", "scores.csv"})
