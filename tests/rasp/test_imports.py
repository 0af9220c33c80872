"""The language stands on its own: without torch, and without circles among its modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

PREFIX = "knowncircuits.rasp."
BEFORE, SAME = "key indices < query indices", "key tokens == query tokens"


def modules(root: Path) -> dict[str, Path]:
    return {path.stem: path for path in (root / "benchmark/rasp").glob("[!_]*.py")}


def test_the_language_loads_no_torch(root: Path) -> None:
    """Neither when it is imported nor when a program is written, run, checked and shown."""
    imports = "; ".join(f"import {PREFIX}{name}" for name in modules(root))
    code = f"""{imports}; import sys
from knowncircuits import Vocabulary, rasp
before = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LT)
seen = rasp.SelectorWidth(before & rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ))
print(seen("aba"), rasp.validate(seen, Vocabulary(("a", "b"), 3)))
print(rasp.program_text(seen))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[0, 0, 1] []",
        f"selector_width = SelectorWidth(({BEFORE}) and ({SAME}))",
        "False",
    ]


def test_modules_of_the_language_import_in_one_direction(root: Path) -> None:
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name, path in modules(root).items():
        imported = [
            node.module.removeprefix(PREFIX)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PREFIX)
        ]
        sorter.add(name, *imported)
    order = list(sorter.static_order())  # raises CycleError for a circle
    assert order.index("expressions") < order.index("interpreter") < len(order)
