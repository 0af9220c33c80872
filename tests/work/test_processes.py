"""Jobs in processes: errors and kills cost one job each, and all end with who started them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groups import alive
from jobs import square, torch_threads
from knowncircuits.errors import CompileError, ResultError, SubmissionError, UnknownNameError
from knowncircuits.work.executor import KilledError, run_jobs
from knowncircuits.work.processes import Processes


def test_what_fails_or_is_killed_is_one_job() -> None:
    """Others go on, in another process where theirs was killed; errors are raised in the end."""
    found: list[int] = []
    with pytest.raises(RuntimeError, match="OwnError: 1 and 2") as error:
        found.extend(run_jobs(square, range(8), Processes(2), when_killed=lambda job, error: -job))
    assert sorted(found) == [-2, 0, 1, 16, 25, 36, 49]
    assert "in square" in error.value.__notes__[0]  # where it was raised


def test_a_process_that_is_killed_is_an_error() -> None:
    jobs = run_jobs(square, [2, 5], Processes(2))
    assert next(jobs) == 25
    with pytest.raises(KilledError, match="a process ended with SIGKILL; start again to go on"):
        next(jobs)


@pytest.mark.long
def test_a_process_computes_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert list(run_jobs(torch_threads, [0], Processes(2))) == [1]


def test_no_jobs_start_no_process() -> None:
    assert list(run_jobs(square, [], Processes(2))) == []


SCRIPT = """
import signal
import time
from pathlib import Path
from knowncircuits.work.executor import run_jobs
from knowncircuits.work.processes import Processes

# As in a terminal, also where the tests are a background job, in which it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def sleep(path):
    Path(path).touch()
    time.sleep(1000)

if __name__ == "__main__":
    list(run_jobs(sleep, ["a", "b", "c"], Processes(2)))
"""


def test_ctrl_c_ends_all_at_once_and_children_say_nothing(tmp_path: Path) -> None:
    """The terminal sends it to all processes of the group; the script's own traceback is one."""
    (tmp_path / "script.py").write_text(SCRIPT)
    started = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not ((tmp_path / "a").exists() and (tmp_path / "b").exists()):
            assert started.poll() is None
            time.sleep(0.05)
        os.killpg(started.pid, signal.SIGINT)
        _, error = started.communicate(timeout=900)  # both would sleep for longer
        assert error.count("Traceback") == 1
        while alive(started.pid):
            time.sleep(0.05)
    finally:
        if alive(started.pid):
            os.killpg(started.pid, signal.SIGKILL)
    assert not (tmp_path / "c").exists()


@pytest.mark.long
def test_a_script_without_a_main_guard_is_told(tmp_path: Path) -> None:
    """Its processes would run it again, and end as they start."""
    script = SCRIPT.replace('if __name__ == "__main__":\n    ', "")
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 1
    assert "a process ended with exit code 1 before it could start" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        CompileError(["one", "two"]),
        SubmissionError("mine", ["wrong"]),
        UnknownNameError("case", "a", ["ab"]),
        ResultError("plain"),
    ],
)
def test_errors_come_whole_from_another_process(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)
