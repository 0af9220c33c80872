"""What each room offers its users: the names of its stub, loaded when used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import knowncircuits

ROOT = Path(__file__).parents[1]
FOLDERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]


def modules(ending: str) -> Iterator[tuple[str, Path]]:
    """Every file of the package of an ending, by its module's name."""
    for package, folder in FOLDERS.items():
        for path in (ROOT / folder).rglob(f"*{ending}"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def homes(stub: Path) -> dict[str, str]:
    """The module of each name in a stub, from the room; none for a room within."""
    return {
        alias.name: node.module or ""
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


ROOMS = {room: homes(stub) for room, stub in modules("__init__.pyi")}


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_has_the_names_of_its_stub(name: str) -> None:
    room = importlib.import_module(name)
    assert room.__all__ == dir(room) == sorted(ROOMS[name])
    for attribute, home in ROOMS[name].items():
        if home:
            expected = getattr(importlib.import_module(f"{name}.{home}"), attribute)
        else:
            expected = importlib.import_module(f"{name}.{attribute}")
        assert getattr(room, attribute) is expected


@pytest.mark.parametrize("name", ROOMS)
def test_an_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"No {name} attribute no_such_name"):
        importlib.import_module(name).no_such_name  # noqa: B018


def test_the_error_for_a_name_says_which_room_has_it() -> None:
    elsewhere = {
        (name, room)
        for room, names in ROOMS.items()
        for name, home in names.items()
        if home and name not in ROOMS["knowncircuits"]
    }
    assert ("realism", "knowncircuits.evaluation.effects") in elsewhere
    for name, room in elsewhere:
        with pytest.raises(AttributeError, match=rf"{name}; it is in .*\b{room}\b"):
            getattr(knowncircuits, name)


def test_rooms_load_nothing_until_a_name_is_used() -> None:
    code = f"import sys; before = {{*sys.modules}}; import {', '.join(ROOMS)}; "
    code += "print(*{*sys.modules} - before)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    packages = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert packages == {"knowncircuits", "lazy_loader"}


def test_our_own_code_imports_from_modules_and_not_from_rooms() -> None:
    """So that what a module needs is loaded, and no room is part of a circle."""
    found = [
        f"{path}: from {node.module} import {alias.name}"
        for _, path in modules(".py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if ROOMS.get(node.module or "", {}).get(alias.name)
    ]
    assert not found
