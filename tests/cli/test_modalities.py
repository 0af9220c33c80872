"""`knowncircuits modalities`: tables, data, files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from knowncircuits.cli import app

FEW = ["modalities", "modalities_late", "--pairs", "8", "--windows", "1", "--steps", "1"]


def test_tables_and_files(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("back.csv", "back.html")]
    saved = [word for file in files for word in ("--save", str(file))]
    done = CliRunner().invoke(app, [*FEW, "--figure", "back-patching", *saved])
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["image", "0.000", *"-----"] in rows
    assert ["1", "2", "0", "1", "1"] in rows
    assert ["1", "1", "0", "0", "1"] in rows
    assert "loops 2 -> 0, window 1; gap closed: 1.000" in done.stdout
    written = pd.read_csv(files[0])
    assert written["accuracy"].tolist() == [0, 1, 1]
    assert "late image data" in files[1].read_text()


def test_data_alone() -> None:
    done = CliRunner().invoke(app, [*FEW, "--format", "json"])
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert [row["accuracy"] for row in data["loops"]] == [0, 1, 1, 1]
    assert [row["accuracy"] for row in data["modalities"]] == [1, 0]
    assert data["modalities"][1]["faithfulness"] is None
    assert "overlap" not in data  # patches have no circuit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["modalities", "histogram"], "unknown case of two modalities 'histogram'"),
        ([*FEW, "--windows", "1,2"], "expected odd windows like 1,3,5, got '1,2'"),
        ([*FEW, "--share", "nan"], "expected a share from 0 to 1, got nan"),
        ([*FEW, "--save", "a.gif"], "expected a file ending in"),
        ([*FEW, "--figure", "overlap", "--save", "a.html"], "circuits of both modalities to draw"),
    ],
)
def test_what_is_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / word) if word.startswith("a.") else word for word in arguments]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert message in f"{done.output}{done.exception}"
