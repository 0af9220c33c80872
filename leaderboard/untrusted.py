"""Files of strangers: only what is expected, whole, of limited size, and never followed elsewhere.

Everything that is wrong is collected as problems, in words; nothing is raised on the way.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from knowncircuits.files.reading import nesting, read_regular
from knowncircuits.graph import Graph

MAX_JSON = 1_000_000  # bytes; ours have 30,000
MAX_CSV = 8_000_000
MAX_BYTES = 250_000_000  # of a submission
MAX_FILES = 6_000
MAX_DEPTH = 8  # of objects and lists in each other
MAX_PROBLEMS = 50  # that are listed of a submission
SHOWN = 5  # of many problems of one kind
PLAIN = re.compile(r"[0-9eE.+-]*")


@dataclass
class Found:
    """The files of a folder, by path from there, and what is wrong with it."""

    files: dict[str, int] = field(default_factory=dict)  # with their sizes
    problems: list[str] = field(default_factory=list)
    too_much: bool = False  # not to be read at all


def few(names: Sequence[str]) -> str:
    """The first names, cut short, and how many there are beside them."""
    more = len(names) - SHOWN
    return ", ".join(cut(name) for name in names[:SHOWN]) + (
        f" and {more} more" if more > 0 else ""
    )


def some(problems: Sequence[str]) -> list[str]:
    """The first problems, and how many there are beside them."""
    more = len(problems) - MAX_PROBLEMS
    return [*problems[:MAX_PROBLEMS], *([f"and {more} more problems"] if more > 0 else [])]


def cut(text: str, most: int = 60) -> str:
    """A stranger's text in a message: what cannot be seen is escaped, and what is long is cut."""
    text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= most else text[: most - 3] + "..."


def list_files(folder: Path) -> Found:
    """All files below a folder; links and what is neither file nor folder are problems."""
    found, folders, n = Found(), [("", 0)], 0
    while folders:
        prefix, depth = folders.pop()
        try:
            entries = sorted(os.scandir(folder / prefix), key=lambda entry: entry.name)
        except OSError as error:
            found.problems.append(f"{cut(prefix) or folder.name}: cannot be read: {error.strerror}")
            continue
        for entry in entries:
            name = f"{prefix}{entry.name}"
            n += 1
            if entry.is_symlink():
                found.problems.append(f"{cut(name)}: expected a file, got a symbolic link")
            elif entry.is_dir(follow_symlinks=False):
                if depth < 2:
                    folders.append((f"{name}/", depth + 1))
                else:
                    found.problems.append(f"{cut(name)}: unexpected folder")
            elif entry.is_file(follow_symlinks=False):
                found.files[name] = entry.stat(follow_symlinks=False).st_size
            else:
                found.problems.append(f"{cut(name)}: expected a file, got something else")
            if n > MAX_FILES:
                found.problems.append(f"expected at most {MAX_FILES} files, got more")
                found.too_much = True
                return found
    if sum(found.files.values()) > MAX_BYTES:
        size = sum(found.files.values())
        found.problems.append(f"expected at most {MAX_BYTES} bytes in all, got {size}")
        found.too_much = True
    return found


def read_bytes(path: Path, most: int) -> bytes:
    """A plain file's contents.

    Raises ValueError, in words, for a link, something that is no file, or one larger than `most`.
    """
    try:
        return read_regular(path, most, follow=False)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"expected a file of at most {most} bytes, got {error}") from error


def check_json(data: bytes) -> list[str]:
    """What is wrong with a JSON text: its encoding, depth, duplicated keys, NaN and infinity."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"expected UTF-8, got byte {data[error.start]:#04x} at {error.start}"]
    if (depth := nesting(data)) > MAX_DEPTH:
        return [f"expected at most {MAX_DEPTH} objects and lists in each other, got {depth}"]
    problems: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            problems.append(f"duplicated keys: {few(twice)}")
        return dict(pairs)

    def constant(name: str) -> float:
        problems.append(f"expected finite numbers, got {name}")
        return 0.0

    def number(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else constant(cut(digits))

    try:
        json.loads(text, object_pairs_hook=unique, parse_constant=constant, parse_float=number)
    except (ValueError, RecursionError) as error:
        problems.append(f"expected JSON: {cut(str(error), 200)}")
    return problems


def parse_scores(
    data: bytes, graph: Graph, seeds: Sequence[int] | None
) -> tuple[Float[np.ndarray, "seed edge"] | None, list[str]]:
    """A table of scores, `edge,SEED,...`, a row for each edge, in the graph's order.

    Args:
        data: the file.
        graph: the model's.
        seeds: the columns; None where it is not known which there should be.

    Returns:
        The scores, or None and everything that is wrong with them.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        return None, [f"expected ASCII, got byte {data[error.start]:#04x} at {error.start}"]
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if seeds is None:
        seeds = [int(name) for name in lines[0].split(",")[1:] if name.isdecimal()]
    header = ",".join(("edge", *map(str, seeds)))
    if lines[0] != header:
        return None, [f"expected the header {cut(header)!r}, got {cut(lines[0])!r}"]
    if (quick := _in_order(lines, graph, len(seeds))) is not None:
        return quick, []
    rows = [line.split(",") for line in lines[1:]]
    uneven = [str(i) for i, row in enumerate(rows, start=2) if len(row) != len(seeds) + 1]
    if uneven:
        return None, [
            f"expected {len(seeds) + 1} fields in a row, got others in lines {few(uneven)}"
        ]
    names = [row[0] for row in rows]
    problems = _wrong_names(names, graph)
    numbers = [[_number(cell) for cell in row[1:]] for row in rows]
    values = np.array(numbers, dtype=np.float64).reshape(len(rows), len(seeds))
    for i, j in np.argwhere(~np.isfinite(values))[:SHOWN]:
        got = cut(rows[i][j + 1])
        problems.append(
            f"expected a finite number for {cut(names[i])}, seed {seeds[j]}, got {got!r}"
        )
    if problems:
        return None, problems
    if tuple(names) != graph.edges:
        values = values[np.argsort([graph.edge_index[name] for name in names])]
    return values.T, []


def _in_order(
    lines: Sequence[str], graph: Graph, n_seeds: int
) -> Float[np.ndarray, "seed edge"] | None:
    """The quick way for tables with nothing wrong and edges in order, of which a board has many."""
    if any(line.count(",") != n_seeds for line in lines[1:]):
        return None
    cells = ",".join(lines[1:]).split(",")
    if tuple(cells[:: n_seeds + 1]) != graph.edges:
        return None
    del cells[:: n_seeds + 1]
    if not PLAIN.fullmatch("".join(cells)):
        return None
    try:
        values = np.array(list(map(float, cells)), dtype=np.float64)
    except ValueError:
        return None
    return values.reshape(-1, n_seeds).T if np.isfinite(values).all() else None


def _number(cell: str) -> float:
    """A decimal; NaN for what is none. `float` also takes underscores, and spaces around."""
    try:
        return math.nan if "_" in cell or cell != cell.strip() else float(cell)
    except ValueError:
        return math.nan


def _wrong_names(names: Sequence[str], graph: Graph) -> list[str]:
    counts = Counter(names)
    kinds = {
        "duplicated": [name for name, count in counts.items() if count > 1],
        "unknown": [name for name in counts if name not in graph.edge_index],
        "missing": [edge for edge in graph.edges if edge not in counts],
    }
    return [f"{len(found)} {kind} edges: {few(found)}" for kind, found in kinds.items() if found]
