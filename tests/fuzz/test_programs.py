"""A small part of `programs.py`: see there."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fuzz.programs import check


@pytest.mark.long
def test_random_programs_are_equal_or_refused() -> None:
    counts: Counter[str] = Counter()
    for seed in range(60):
        verdict, text = check(seed)
        assert verdict != "wrong", text
        counts[verdict] += 1
    assert counts["equal"] > counts["refused"]


@pytest.mark.long
def test_the_script() -> None:
    script = Path(__file__).with_name("programs.py")
    done = subprocess.run(
        [sys.executable, str(script), "--count", "3"], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith(", 0 wrong\n")
