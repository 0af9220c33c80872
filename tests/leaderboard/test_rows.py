"""Our own rows: each is on the board as it is run, and is made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knowncircuits.errors import UnknownNameError
from knowncircuits.evaluation.runs.failures import Failure
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.leaderboard.rows import PLACE, ROWS, chosen_rows, renew
from knowncircuits.leaderboard.submission import read_submission

MODELS = [("fraction_of_x", "seed0"), ("frequency", "seed0")]


def test_every_row_is_on_the_board_as_it_is_run() -> None:
    """`knowncircuits maintain board` makes it again."""
    said = {path.parent.name: json.loads(path.read_text()) for path in PLACE.glob("*/*.json")}
    assert {name for name, row in said.items() if row["authors"][0]["name"] == "knowncircuits"} == {
        *ROWS
    }
    for name, row in ROWS.items():
        words = said[name]["command"].split()
        assert words[:3] == ["knowncircuits", "score", row.method]
        assert ("--label" in words) == (name != row.method)
        assert {**said[name]["options"], **row.options} == said[name]["options"]
        assert said[name]["conventions"]["n_pairs"] == (row.n_pairs or 100)
        assert said[name]["division"] == "closed"


def test_rows_are_made_again(tmp_path: Path) -> None:
    rows = [ROWS["random"], ROWS["exact-denoising"]]
    few = [Settings(r.method, 5, options=r.options, label=r.label) for r in rows]
    written = renew(few, MODELS, tmp_path / "results", tmp_path / "rows")
    assert [path.name for path in written] == ["random", "exact-denoising"]
    made = read_submission(written[1])
    assert list(made.scores) == ["fraction_of_x/seed0", "frequency/seed0"]
    assert made.description.options["by"] == "denoising"
    assert "--label exact-denoising" in made.description.command


def test_a_row_that_fails_on_a_model_is_not_written(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("def fails(task):\n    raise ValueError('no')\n")
    failures: list[Failure] = []
    written = renew(
        [Settings("random", 5), Settings(f"{own}:fails", 5)],
        MODELS,
        tmp_path / "results",
        tmp_path / "rows",
        on_failure=failures.append,
    )
    assert [path.name for path in written] == ["random"]
    assert [failure.label for failure in failures] == ["own.fails"] * 2


def test_rows_are_chosen_by_name() -> None:
    assert chosen_rows([]) == list(ROWS.values())
    assert [row.name for row in chosen_rows(["eap", "exact-denoising", "eap"])] == [
        "eap",
        "exact-denoising",
    ]
    with pytest.raises(UnknownNameError, match="row of the board"):
        chosen_rows(["exact-min"])
