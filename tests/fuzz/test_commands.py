"""A few of the random command lines of `python tests/fuzz/commands.py`, and what it counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("commands.py")


@pytest.mark.long
def test_random_command_lines() -> None:
    """In a process without the tests' checks of each call; those of other seeds are for hand."""
    command = [sys.executable, str(SCRIPT), "--seed", "0", "--count", "12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 lines, 0 failed" in done.stdout


def test_what_fails_is_seen() -> None:
    """A fault that the last resort turns into a line counts, as do tracebacks and memory."""
    code = f"""
import signal
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import command_runs as runs
from types import SimpleNamespace

def verdict(code, output, memory=0, words=("score",)):
    return runs.verdict(code, SimpleNamespace(ru_maxrss=memory), output, words)

assert verdict(0, "fine") == verdict(2, "error: no") == ""
assert verdict(2, "Traceback (most recent call last):") == "traceback"
assert verdict(70, "fault of knowncircuits: KeyError: 1") == "fault"
assert verdict(0, "fine", memory=3 * 2**20) == "3.0 GB"
assert verdict(-signal.SIGKILL, "") == "hangs"
assert verdict(-signal.SIGKILL, "", words=("leaderboard", "serve")) == ""
assert verdict(-signal.SIGXCPU, "") == ""  # has worked for as long as it may
assert verdict(-signal.SIGSEGV, "") == "exit code -11"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
