"""Rooms know only the rooms below them, and no two modules import each other."""

from pathlib import Path

import pytest

from rooms import ROOMS, cycles, graphs, upward


def test_arrows_go_down(root: Path) -> None:
    modules, rooms = graphs(root)
    assert set(rooms) == set(ROOMS)
    assert not cycles(modules)
    assert not upward(rooms)


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({"benchmark/graph.py": "", "cases/case.py": "from knowncircuits.graph import Graph"}, []),
        (
            {
                "benchmark/graph.py": "def f():\n    from knowncircuits.cases import case",
                "cases/case.py": "import knowncircuits.graph",
            },
            [("vocabulary", "cases")],
        ),
        (
            {
                "benchmark/graph.py": "import numpy, knowncircuits",
                "benchmark/__init__.py": "",
                "cases/case.py": "from knowncircuits import errors, graph, load_case",
            },
            [("vocabulary", "front"), ("cases", "front")],
        ),
    ],
)
def test_what_goes_up_or_round_is_seen(
    tmp_path: Path, files: dict[str, str], wrong: list[tuple[str, str]]
) -> None:
    folders = 'package-dir = {"knowncircuits" = "benchmark", "knowncircuits.cases" = "cases"}'
    (tmp_path / "pyproject.toml").write_text(f"[tool.setuptools]\n{folders}\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    modules, rooms = graphs(tmp_path)
    assert sorted(upward(rooms)) == sorted(wrong)
    found = [["cases.case", "graph"]] if ("vocabulary", "cases") in wrong else []
    assert cycles(modules) == found
