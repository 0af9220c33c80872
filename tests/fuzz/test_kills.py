"""A few kills of `python tests/fuzz/kills.py`, of the command that is the quickest to run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_killed_commands() -> None:
    script = Path(__file__).with_name("kills.py")
    command = [sys.executable, str(script), "--seed", "1", "--count", "2", "--only", "sankey"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills, 0 failed" in done.stdout
