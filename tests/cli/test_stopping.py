"""Ctrl-C and SIGTERM end commands at once, with all their processes and a line of what is done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from groups import alive
from knowncircuits.cli.stopping import stoppable

SLOW = """
import time
from pathlib import Path

def fit(task):
    if task.name == "histogram":
        return task.graph.vector({edge: 1.0 for edge in task.graph.edges})
    Path(f"started.{task.name}").touch()
    time.sleep(1000)
"""
LONG = {"n_inputs": 500, "n_validation": 50, "steps": 100_000, "validate_every": 20}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_done_is_said(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second signal would end it on the spot; afterwards signals do what they did before."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(n) for n in signals]
    done, second = 0, []

    def work() -> None:
        nonlocal done
        with stoppable(lambda: f"{done} of 5 are done"):
            done = 3
            try:
                signal.raise_signal(number)
            finally:
                second.append(signal.getsignal(number))

    with pytest.raises(typer.Exit) as ended:
        work()
    assert ended.value.exit_code == code
    assert capsys.readouterr().err == "stopped: 3 of 5 are done\n"
    assert second == [signal.SIG_DFL]
    assert [signal.getsignal(n) for n in signals] == before


@pytest.mark.parametrize(
    ("jobs", "number", "code"),
    [
        ("1", signal.SIGTERM, 143),
        pytest.param("2", signal.SIGINT, 130, marks=pytest.mark.long),
    ],
)
def test_score_is_stopped(tmp_path: Path, jobs: str, number: int, code: int) -> None:
    """And the results that there are stay."""
    (tmp_path / "slow.py").write_text(SLOW)
    cases = ["-c", "histogram", "-c", "fraction_of_x", "-c", "identity"]
    words = ["score", "slow:fit", "--compiled", "--pairs", "5", "-j", jobs, *cases]

    def begun() -> bool:
        results = len(list(tmp_path.glob("results/**/0.json")))
        return results == 1 and len(list(tmp_path.glob("started.*"))) == int(jobs)

    error = stop(words, tmp_path, begun, number, code)
    told = "stopped: 1 of 3 results are there; the same command goes on with the others"
    assert error.splitlines()[-1] == told
    assert "Traceback" not in error
    assert [p.name for p in (tmp_path / "results").rglob("*.*") if p.is_file()] == ["0.json"]


@pytest.mark.long
def test_training_is_stopped(tmp_path: Path) -> None:
    recipes = {name: {"seed0": LONG} for name in ("histogram", "identity")}
    (tmp_path / "recipes.json").write_text(json.dumps(recipes))
    words = ["models", "train", "-c", "histogram", "-c", "identity", "-j", "2"]
    words += ["--recipes", "recipes.json"]

    def begun() -> bool:
        return len(list(tmp_path.glob("zoo/.work/*/*.pt"))) == 2

    error = stop(words, tmp_path, begun, signal.SIGINT, 130)
    told = "stopped: 0 of 2 models certified; the same command goes on"
    assert error.splitlines()[-1] == told  # after lines of progress, where it took long
    assert "Traceback" not in error


def stop(words: list[str], folder: Path, begun: Callable[[], bool], number: int, code: int) -> str:
    """Start a command, send its group a signal, and wait for all of it: its standard error."""
    started = subprocess.Popen(
        [sys.executable, "-m", "knowncircuits.cli", *words],
        cwd=folder,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not begun():
            assert started.poll() is None
            time.sleep(0.05)
        os.killpg(started.pid, number)
        _, error = started.communicate(timeout=900)  # they work for longer
        assert started.returncode == code
        while alive(started.pid):
            time.sleep(0.05)
    finally:
        if alive(started.pid):
            os.killpg(started.pid, signal.SIGKILL)
    return error
