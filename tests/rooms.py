"""Which room imports which: `python tests/rooms.py` prints every room with those that it knows.

A room is a folder of the package with the files in it, but not those of the folders below. Arrows
go down: a room imports only rooms that stand before it in `ROOMS`. With the path of another
checkout, `python tests/rooms.py PATH`, that one is looked at; its rooms may not be in the list, and
then only cycles are told.
"""

from __future__ import annotations

import argparse
import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

PACKAGE = "knowncircuits"
# From the bottom up; `vocabulary` is what stands in benchmark/ itself. The front, which re-exports,
# is above all.
ROOMS = (
    "errors",
    "shown",
    "extras",
    "work",
    "checks",
    "files",
    "rasp",
    "vocabulary",
    "compiler",
    "cases",
    "cases.experiments",
    "cases.registry",
    "models",
    "models.interop",
    "compat",
    "models.certificates",
    "models.trained",
    "models.wired",
    "models.training",
    "models.zoo",
    "evaluation",
    "evaluation.truth",
    "evaluation.scoring",
    "evaluation.methods",
    "evaluation.hardness",
    "evaluation.runs",
    "evaluation.effects",
    "evaluation.faithfulness",
    "evaluation.components",
    "evaluation.modalities",
    "evaluation.figures",
    "evaluation.comparison",
    "evaluation.catalogue",
    "evaluation.bench",
    "leaderboard",
    "leaderboard.site",
    "leaderboard.hub",
    "cli",
    "front",
)
# Files that are a room of their own, by their names; `__init__.py` only re-exports.
ALONE = {
    "errors": "errors",
    "shown": "shown",
    "extras": "extras",
    "compat": "compat",
    "models.trained": "models.trained",
    "cases.registry": "cases.registry",
    "cases.checks": "cases.registry",
}


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its name, without the package's own."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    folders: dict[str, str] = settings["tool"]["setuptools"]["package-dir"]
    found = {}
    for package, folder in folders.items():
        for path in sorted((root / folder).rglob("*.py")):
            names = [package, *path.relative_to(root / folder).with_suffix("").parts]
            name = ".".join(names).removesuffix(".__init__").removeprefix(PACKAGE)
            found[name.removeprefix(".")] = path
    return found


def room_of(module: str, path: Path) -> str:
    """The room that a module is in."""
    if path.name == "__init__.py" and not module:
        return "front"
    if module in ALONE:
        return ALONE[module]
    folder = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return folder or "vocabulary"


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports anywhere in it, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []  # each of a module, or of something in one
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name == PACKAGE or name.startswith(f"{PACKAGE}."):
                below = name.removeprefix(PACKAGE).removeprefix(".")
                yield below if below in known else below.rpartition(".")[0]


def graphs(root: Path) -> tuple[nx.DiGraph, nx.DiGraph]:
    """The modules and the rooms, each with an arrow to whatever it imports."""
    known = modules(root)
    of_modules, of_rooms = nx.DiGraph(), nx.DiGraph()
    for module, path in known.items():
        of_modules.add_node(module)
        of_rooms.add_node(room_of(module, path))
        if path.name == "__init__.py":
            continue  # loads what it re-exports only when that is used
        for imported in imports(path, known):
            of_modules.add_edge(module, imported)
            ends = room_of(module, path), room_of(imported, known[imported])
            if ends[0] != ends[1]:
                of_rooms.add_edge(*ends)
    return of_modules, of_rooms


def upward(rooms: nx.DiGraph) -> list[tuple[str, str]]:
    """Arrows from a room to one that stands after it in `ROOMS`."""
    place = {room: i for i, room in enumerate(ROOMS)}
    return [(a, b) for a, b in rooms.edges if place[a] < place[b]]


def cycles(graph: nx.DiGraph) -> list[list[str]]:
    """Cycles: groups of modules or rooms that reach each other."""
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def main() -> None:
    """Print the rooms, their arrows, and what of them goes the wrong way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path(__file__).parents[1])
    of_modules, of_rooms = graphs(parser.parse_args().root)
    order = [room for room in ROOMS if room in of_rooms] + sorted(set(of_rooms) - set(ROOMS))
    for room in reversed(order):
        print(f"{room}: {', '.join(r for r in order if r in of_rooms[room]) or 'none of ours'}")
    counts = (
        f"{len(of_modules)} modules, {len(of_rooms)} rooms, {of_rooms.number_of_edges()} arrows"
    )
    print(f"\n{counts}")
    for what, graph in (("modules", of_modules), ("rooms", of_rooms)):
        found = cycles(graph)
        print(
            f"cycles of {what}: {len(found)}",
            *(f"  {' '.join(group)}" for group in found),
            sep="\n",
        )
    if set(of_rooms) <= set(ROOMS):
        print(f"upward: {', '.join(f'{a} -> {b}' for a, b in upward(of_rooms)) or 'none'}")


if __name__ == "__main__":
    main()
