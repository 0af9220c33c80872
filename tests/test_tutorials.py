"""The tutorials' notebooks run from top to bottom, and are stored without what they print."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from parts import some_long

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
NAMES = sorted(path.stem for path in TUTORIALS.glob("*.ipynb"))


def cells(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((TUTORIALS / f"{name}.ipynb").read_text())["cells"]
    return found


def shown(namespace: dict[str, object], code: str) -> str:
    """Run a cell; what a notebook would show of its last expression."""
    body = ast.parse(code).body
    last = body[-1]
    if not isinstance(last, ast.Expr):
        exec(code, namespace)
        return ""
    exec(ast.unparse(ast.Module(body[:-1], [])), namespace)
    value = eval(ast.unparse(last), namespace)
    as_html = getattr(value, "_repr_html_", None)
    return str(as_html()) if as_html else repr(value)


def test_there_are_five() -> None:
    assert len(NAMES) == 5


@pytest.mark.parametrize("name", some_long(NAMES, "score"))
def test_a_tutorial_runs(name: str) -> None:
    namespace: dict[str, object] = {}
    said = [
        shown(namespace, "".join(cell["source"]))
        for cell in cells(name)
        if cell["cell_type"] == "code"
    ]
    assert sum(map(bool, said)) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_tutorials_are_stored_without_outputs(name: str) -> None:
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert code
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
