"""Types hold: before running, by mypy on the whole package; while the tests run, at every call."""

import subprocess
import sys
from pathlib import Path

import jaxtyping
import pytest

from knowncircuits.errors import GraphError
from knowncircuits.graph import Graph


def lay_out(rooms: dict[str, Path], target: Path) -> None:
    """Link the rooms into `target` under their import names.

    Type checkers do not follow setuptools' `package-dir`.
    """
    for package, folder in rooms.items():
        parent, _, name = package.rpartition(".")
        if parent:
            (target / parent / name).symlink_to(folder)
        else:  # holds the other rooms' links, so a folder of its own
            (target / name).mkdir()
            for child in folder.iterdir():
                (target / name / child.name).symlink_to(child)


@pytest.mark.long
def test_the_package_type_checks(root: Path, rooms: dict[str, Path], tmp_path: Path) -> None:
    lay_out(rooms, tmp_path)
    options = ["--config-file", root / "pyproject.toml", "--cache-dir", root / ".mypy_cache"]
    command = [sys.executable, "-m", "mypy", *options, "--strict", "-p", "knowncircuits"]
    mypy = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    n_files = sum(1 for folder in rooms.values() for _ in folder.rglob("*.py"))
    if f"no issues found in {n_files} source files" not in mypy.stdout:
        pytest.fail(f"mypy on {n_files} files:\n{mypy.stdout}{mypy.stderr}", pytrace=False)


def test_calls_are_checked_in_the_tests() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        Graph(n_layers=1, n_heads=1).index(3)  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_shape_checks")
def test_a_test_can_do_without_the_checks() -> None:
    with pytest.raises(GraphError, match="unknown edge 3"):
        Graph(n_layers=1, n_heads=1).index(3)  # type: ignore[arg-type]
