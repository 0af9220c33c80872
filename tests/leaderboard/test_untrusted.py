"""Files of strangers, one hostile trick at a time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.graph import Graph
from knowncircuits.leaderboard import untrusted as reading
from knowncircuits.leaderboard.untrusted import (
    check_json,
    cut,
    list_files,
    parse_scores,
    read_bytes,
)

GRAPH = Graph(n_layers=1, n_heads=1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def table(**changes: str) -> bytes:
    """A right table but for the cells of some edges."""
    lines = [
        "edge,0,1",
        *(f"{edge},{changes.get(edge, f'{i}.5,-1e-3')}" for i, edge in enumerate(GRAPH.edges)),
    ]
    return ("\n".join(lines) + "\n").encode()


def problems(data: bytes) -> list[str]:
    values, found = parse_scores(data, GRAPH, (0, 1))
    assert (values is None) == bool(found)
    return found


def test_a_table_in_the_graphs_order_and_in_another() -> None:
    values, found = parse_scores(table(), GRAPH, (0, 1))
    assert found == []
    assert values is not None
    assert values.shape == (2, GRAPH.n_edges)
    assert values[0].tolist() == [i + 0.5 for i in range(GRAPH.n_edges)]
    header, *rows = table().decode().splitlines()
    turned = "\r\n".join([header, *rows[::-1]]).encode()
    again, found = parse_scores(turned, GRAPH, (0, 1))
    assert found == []
    np.testing.assert_array_equal(again, values)


@given(st.lists(FINITE, min_size=2 * GRAPH.n_edges, max_size=2 * GRAPH.n_edges))
def test_numbers_read_back_as_they_were(numbers: list[float]) -> None:
    values = np.array(numbers).reshape(2, -1)
    rows = [f"{edge},{a!r},{b!r}" for edge, a, b in zip(GRAPH.edges, *values.tolist(), strict=True)]
    read, found = parse_scores("\n".join(["edge,0,1", *rows]).encode(), GRAPH, (0, 1))
    assert found == []
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    "cell", ["nan", "NaN", "inf", "-Infinity", "1e999", "1_0", " 1", "", "0x1", "1,5", "one", "٣"]
)
def test_cells_that_are_no_finite_number(cell: str) -> None:
    (problem,) = problems(table(**{"embed->m0": f"{cell},1"}))
    wrong = "fields" if "," in cell else "ASCII" if cell == "٣" else "finite number for embed->m0"
    assert wrong in problem


def test_everything_wrong_is_listed_at_once() -> None:
    lines = table(**{"embed->m0": "nan,1"}).decode().splitlines()
    lines += [lines[1], "m7->logits,1,2"]
    del lines[2]
    found = problems("\n".join(lines).encode())
    assert found[0] == "1 duplicated edges: embed->a0.h0<q>"
    assert found[1] == "1 unknown edges: m7->logits"
    assert found[2] == "1 missing edges: pos->a0.h0<q>"
    assert found[3] == "expected a finite number for embed->m0, seed 0, got 'nan'"
    assert len(found) == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected the header 'edge,0,1', got ''"),
        (b"edge,0\n", "expected the header 'edge,0,1', got 'edge,0'"),
        (b"edge,0,1", "13 missing edges: embed->a0.h0<q>"),
        (table().replace(b"embed->m0,", b"embed->m0,1,"), "expected 3 fields in a row"),
        (b"\xff" + table(), "expected ASCII, got byte 0xff at 0"),
        (b"edge,0,1\n" + b"<b>," * 100, "expected 3 fields in a row, got others in lines 2"),
    ],
)
def test_tables_that_are_none(data: bytes, message: str) -> None:
    assert message in problems(data)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1, "a": 2, "b": {"c": 1, "c": 1}}', "duplicated keys: a"),
        (b'{"a": NaN}', "expected finite numbers, got NaN"),
        (b'{"a": -Infinity}', "expected finite numbers, got -Infinity"),
        (b'{"a": 1e999}', "expected finite numbers, got 1e999"),
        (b"[" * 100_000, "expected at most 8 objects and lists in each other, got 100000"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "in each other, got 9"),
        (b'{"a": "\xff"}', "expected UTF-8, got byte 0xff at 7"),
        (b'{"a": 1', "expected JSON"),
        (b"1" * 5000, "expected JSON"),
        (b"", "expected JSON"),
    ],
)
def test_json_that_is_refused(text: bytes, message: str) -> None:
    assert any(message in problem for problem in check_json(text)), check_json(text)


def test_json_lists_all_duplicates() -> None:
    found = check_json(b'{"a": 1, "a": 2, "b": {"c": 1, "c": 1}, "d": NaN}')
    assert [problem.split(": ")[-1] for problem in found] == [
        "c",
        "expected finite numbers, got NaN",
        "a",
    ]


def test_files_are_listed_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("12345")
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    found = list_files(tmp_path)
    assert found.files == {"a/file": 5}
    assert sorted(found.problems) == [
        "a/b/c: unexpected folder",
        "a/link: expected a file, got a symbolic link",
        "folder: expected a file, got a symbolic link",
        "pipe: expected a file, got something else",
    ]


def test_too_many_files_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"x" * 10)
    monkeypatch.setattr(reading, "MAX_BYTES", 29)
    found = list_files(tmp_path)
    assert found.too_much
    assert found.problems == ["expected at most 29 bytes in all, got 30"]
    (tmp_path / "d").mkdir()
    monkeypatch.setattr(reading, "MAX_FILES", 3)
    assert list_files(tmp_path).problems == ["expected at most 3 files, got more"]


def test_reading_one_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "file", 10) == b"x" * 10
    for name, message in {
        "file": "expected a file of at most 9 bytes, got 10 bytes",
        "link": "cannot be read",
        "pipe": "expected a file of at most 9 bytes, got something that is no regular file",
        "none": "cannot be read: No such file",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_bytes(tmp_path / name, 9)


def test_texts_in_messages_are_short_and_plain() -> None:
    assert cut("a\x1b[31m\u202eb") == r"a\x1b[31m\u202eb"
    assert len(cut("x" * 1000)) == 60
