"""Types hold: before running, by mypy on the whole package; while the tests run, at every call."""

import subprocess
import sys
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import Int

from knowncircuits.errors import GraphError
from knowncircuits.graph import Graph
from shape_checks import checked


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


@checked(typechecker=beartype)
def first(x: Int[np.ndarray, "a b"], y: Int[np.ndarray, "b"], n: int) -> Int[np.ndarray, "a b"]:
    """Calls another in between, whose axes of the same names are its own."""
    assert len(y) == len(plus(y[:1], y[:1]) + y)
    return plus(x[0], y)[None][:n]


@checked(typechecker=beartype)
def plus(x: Int[np.ndarray, "b"], y: Int[np.ndarray, "b"]) -> Int[np.ndarray, "b"]:
    return x + y


def test_shapes_are_checked_between_arguments_and_results() -> None:
    x, y = np.ones((1, 3), dtype=int), np.ones(3, dtype=int)
    assert first(x, y, 1).tolist() == [[2, 2, 2]]
    for wrong in (
        (x, y[:2], 1),  # another b
        (x, y, 0),  # a result of another a
        (x, y.astype(float), 1),
        (x, y, "1"),
    ):
        with pytest.raises(jaxtyping.TypeCheckError):
            first(*wrong)  # type: ignore[arg-type]
