"""A few of the files of `python tests/fuzz/files.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_damaged_and_hostile_files() -> None:
    script = Path(__file__).with_name("files.py")
    command = [sys.executable, str(script), "--seed", "1", "--count", "12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 files, 0 failed" in done.stdout
