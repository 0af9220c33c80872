"""`score` says what it reused, what it computed anew and what failed, and exits with 1 for that."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from knowncircuits.cli import app
from knowncircuits.models.zoo import shipped

WORKS = "import numpy\ndef fit(task):\n    return numpy.arange(float(task.graph.n_edges))\n"
FAILS = WORKS.replace("    return", "    if task.name == 'histogram': 1 / 0\n    return")
LOG = "results/followed.fit/histogram/compiled/0.failed.txt"


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Writes a user's method, and scores it or another one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(text: str, *words: str) -> Result:
        (tmp_path / "followed.py").write_text(text)
        monkeypatch.delitem(sys.modules, "followed", raising=False)
        importlib.invalidate_caches()
        return CliRunner().invoke(app, ["score", "followed:fit", "--pairs", "5", *words])

    return run


def test_failures_and_edits(score: Callable[..., Result]) -> None:
    words = ["--compiled", "-c", "histogram", "-c", "fraction_of_x"]
    failure = (
        f"followed.fit on histogram compiled, seed 0: ZeroDivisionError: division by zero "
        f"(traceback in {LOG})"
    )
    first = score(FAILS, *words)
    assert first.exit_code == 1
    assert f"failed: {failure}\n" in first.stderr
    assert first.stderr.endswith(f"1 of 2 failed:\n  {failure}\n")
    assert "fraction_of_x" in first.stdout
    assert first.stdout.endswith("1 result files in results\n")
    assert "1 / 0" in Path(LOG).read_text()

    again = score(FAILS, *words)
    assert again.exit_code == 1
    assert again.stderr.endswith(
        f"1 of 2 failed:\n  {failure}\n--retry tries again what failed in an earlier run\n"
    )
    assert again.stdout.endswith("1 result files in results, 1 of them reused\n")

    mended = score(WORKS, *words)
    assert mended.exit_code == 0
    stale = "followed.fit: results of other code than it has now are computed anew\n"
    assert mended.stderr.count(stale) == 1
    assert mended.stdout.endswith("2 result files in results\n")
    assert not Path(LOG).exists()
    fresh = score(WORKS, *words, "--fresh")
    assert fresh.stdout.endswith("2 result files in results\n")


def test_all_that_fails_leaves_no_table(score: Callable[..., Result]) -> None:
    done = score(FAILS, "--compiled", "-c", "histogram")
    assert done.exit_code == 1
    assert done.stdout == "0 result files in results\n"


def test_own_models_are_scored_compared_and_not_submitted(
    score: Callable[..., Result], tmp_path: Path
) -> None:
    for variant in ("seed0", "seed1"):
        shutil.copytree(shipped(1).place("fraction_of_x", variant), tmp_path / variant / "mine")
        assert score(WORKS, "--model", f"{variant}/mine").exit_code == 0
    assert score(WORKS, "-c", "fraction_of_x", "--zoo", "1").exit_code == 0
    compared = CliRunner().invoke(app, ["compare", "results"])
    assert "mean of 1 structural cases" in compared.stdout
    assert "mean of 2 own models" in compared.stdout
    words = ["--id", "mine", "--title", "Mine", "--author", "Ada", "--version", "1"]
    submitted = CliRunner().invoke(app, ["submit", "results/followed.fit", *words])
    assert submitted.exit_code == 0, submitted.output
    assert submitted.stderr.count("left out: fraction_of_x/own-mine-") == 2
    assert "1 models, 1 draws" in submitted.stdout
