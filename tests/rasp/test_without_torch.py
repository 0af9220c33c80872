"""The language needs no torch: only making weights does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from knowncircuits import Vocabulary, rasp

before = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LT)
seen = rasp.SelectorWidth(before & rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ))
print(seen("aba"), rasp.validate(seen, Vocabulary(("a", "b"), 3)))
print(rasp.program_text(seen))
print("torch" in sys.modules)
"""
BEFORE, SAME = "key indices < query indices", "key tokens == query tokens"


def test_the_language_loads_no_torch(root: Path) -> None:
    """Neither when it is imported nor when a program is written, run, checked and shown."""
    names = [path.stem for path in (root / "benchmark/rasp").glob("[!_]*.py")]
    assert {"expressions", "program", "validation"} <= {*names}
    code = "".join(f"import knowncircuits.rasp.{name}\n" for name in names) + CODE
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[0, 0, 1] []",
        f"selector_width = SelectorWidth(({BEFORE}) and ({SAME}))",
        "False",
    ]
