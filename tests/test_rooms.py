"""Rooms know only the rooms below them, and no two modules import each other."""

from pathlib import Path

import pytest

from rooms import ROOMS, circles, graphs, upward


def test_arrows_go_down(root: Path) -> None:
    modules, rooms = graphs(root)
    assert set(rooms) == set(ROOMS)
    assert not circles(modules)
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
    ],
)
def test_what_goes_up_or_round_is_seen(
    tmp_path: Path, files: dict[str, str], wrong: list[tuple[str, str]]
) -> None:
    folders = 'package-dir = {"knowncircuits" = "benchmark", "knowncircuits.cases" = "cases"}'
    (tmp_path / "pyproject.toml").write_text(f"[tool.setuptools]\n{folders}\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    modules, rooms = graphs(tmp_path)
    assert upward(rooms) == wrong
    assert circles(modules) == [["cases.case", "graph"]] * len(wrong)
