"""Results do not move: today's are those that are kept in `tests/data/kept`.

Every byte is, on a machine as the one that wrote them. Elsewhere sums are rounded otherwise: there
all but numbers is compared exactly. `kept.py` says what is kept, and when to renew it.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

MACHINE = "machine.json"
# A number that is a word of its own, not digits of a name or of a hash.
NUMBER = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w.])")
# With SSE in place of AVX512, scores of up to 11 differ by up to 4e-5, small ones by 3e-6.
RELATIVE, ABSOLUTE = 1e-4, 1e-5
# Elsewhere not compared: training makes much of a last digit, and hashes are of all digits.
OF_ALL_DIGITS = ("training/", "scores/submissions/zoo1/eap/submission.json")


def files(folder: Path) -> dict[str, str]:
    """Texts by name, with their line endings."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes().decode() for name, path in paths.items() if path.is_file()}


def first_difference(kept: str, now: str, *, exactly: bool) -> str | None:
    """Where a text is not as it was kept, or None."""
    old, new = NUMBER.split(kept), NUMBER.split(now)  # word, number, word and so on
    for i, (a, b) in enumerate(zip_longest(old, new, fillvalue="nan")):
        if a != b and (exactly or i % 2 == 0 or not close(a, b)):
            before = "".join(old[max(0, i - 4) : i])[-100:]
            return f"after {before!r} kept {a[:100]!r}, now {b[:100]!r}"
    return None


def close(kept: str, now: str) -> bool:
    """Whether two numbers may differ by rounding only."""
    return math.isclose(float(kept), float(now), rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def test_results_have_not_moved(root: Path, tmp_path: Path) -> None:
    script = [sys.executable, str(root / "tests" / "kept.py"), str(tmp_path / "now")]
    ran = subprocess.run(script, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    kept, now = files(root / "tests" / "data" / "kept"), files(tmp_path / "now")
    assert sorted(now) == sorted(kept)
    exactly = kept.pop(MACHINE) == now.pop(MACHINE)
    differences = {
        name: first_difference(text, now[name], exactly=exactly)
        for name, text in kept.items()
        if exactly or not name.startswith(OF_ALL_DIGITS)
    }
    moved = [f"{name}: {where}" for name, where in differences.items() if where]
    if moved:
        pytest.fail(f"{len(moved)} of {len(kept)} moved\n" + "\n".join(moved), pytrace=False)


@pytest.mark.parametrize(
    ("kept", "now", "exactly", "elsewhere"),
    [
        ("a,0.5,1\n", "a,0.5,1\n", False, False),
        ("a,0.5,1\n", "a,0.500001,1\n", True, False),
        ("a,0.5,1\n", "a,0.501,1\n", True, True),
        ("a,0.5,1\n", "b,0.5,1\n", True, True),
        ("a,0.5,1\n", "a,0.5,1\r\n", True, True),
        ("a,0.5,1\n", "a,0.5,1\nb,2\n", True, True),
        ("a,0.5,1", "a,0.5,", True, True),
        ("a0.h1,9f300000", "a0.h1,9f300001", True, True),
    ],
)
def test_what_moved_is_seen(kept: str, now: str, exactly: bool, elsewhere: bool) -> None:
    assert bool(first_difference(kept, now, exactly=True)) is exactly
    assert bool(first_difference(kept, now, exactly=False)) is elsewhere
