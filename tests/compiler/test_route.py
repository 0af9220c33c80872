"""A program's way through the compiler is short: who reads along seldom comes back to a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from route import Route

SCRIPT = Path(__file__).parents[1] / "route.py"


def test_stays_and_returns() -> None:
    route = Route(("compiler.a", "rasp.b", "compiler.a", "cases.c", "compiler.a", "rasp.b"))
    assert route.files == ("compiler.a", "rasp.b", "cases.c")
    assert route.returns == 3
    inside = route.within("compiler", "cases")
    assert inside.stays == ("compiler.a", "cases.c", "compiler.a")
    assert str(route.within("compiler")) == "1 stays in 1 files, 0 returns"


@pytest.mark.parametrize("case", ["histogram", "balanced_parentheses"])
@pytest.mark.long
def test_few_returns(case: str) -> None:
    """In a process of its own, where no call is checked on the way."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), case], capture_output=True, text=True, check=True
    )
    *files, compiler, both, _ = done.stdout.splitlines()
    assert files[0] == "compiler.compile"
    assert len(set(files)) == len(files) > 15
    returns = [int(line.split()[-2]) for line in (compiler, both)]
    assert 0 < returns[0] <= 32
    assert returns[0] < returns[1] <= 90
