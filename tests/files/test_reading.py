"""Files are read within bounds, and what is none is refused at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from knowncircuits.errors import GraphError, ResultError
from knowncircuits.exchange import read_graph_file
from knowncircuits.files import reading
from knowncircuits.files.reading import nesting, read_as, read_bytes, read_json


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text('{"a": 1}')
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_json(tmp_path / "link") == {"a": 1}
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ResultError, match="expected JSON, got something that is no regular"):
            read_json(path)
        with pytest.raises(ResultError, match="expected numbers, got something that is no reg"):
            read_bytes(path, "numbers")
    with pytest.raises(ResultError, match="none: expected JSON, got No such file or directory"):
        read_json(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000, "100000 objects and lists in each other, more than 32"),
        (b"[" + b"{}," * 8_000_000 + b"1]", "more than 8000000 values"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' twice"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b"9" * 5_000, "Exceeds the limit"),
        (b"", "Expecting value"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "file.json").write_bytes(text)
    with pytest.raises(ResultError, match=f"file.json: expected JSON, got .*{message}"):
        read_json(tmp_path / "file.json")


def test_documents_are_read_as_they_are_written(tmp_path: Path) -> None:
    path, schema = tmp_path / "file.json", TypeAdapter(dict[str, int])
    path.write_text('{"a": 1}')
    assert read_as(schema, path, "counts") == {"a": 1}
    path.write_text('{"a": "1"}')
    with pytest.raises(ResultError, match="json: expected counts, got a: Input should be a valid"):
        read_as(schema, path, "counts")
    with pytest.raises(ResultError, match="none: expected counts, got No such file or directory"):
        read_as(schema, tmp_path / "none", "counts")


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.os, "fdopen", None)  # so that nothing can be read
    with (tmp_path / "file").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ResultError, match=f"got {2**40} bytes, more than {2**27}"):
        read_json(tmp_path / "file")


@given(
    st.recursive(
        st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_nesting_is_that_of_the_parsed_document(document: object) -> None:
    """Brackets in strings, escaped quotes and backslashes count for nothing."""
    import json

    def depth(part: object) -> int:
        if isinstance(part, dict):
            return 1 + max(map(depth, part.values()), default=0)
        return 1 + max(map(depth, part), default=0) if isinstance(part, list) else 0

    assert nesting(json.dumps(document).encode()) == depth(document)
    assert nesting(json.dumps(document, ensure_ascii=False).encode()) == depth(document)


def test_nesting_is_quick_on_strings_without_an_end() -> None:
    """Each of a million quotes might begin a string that has none."""
    assert nesting(b'[{"' + b'\\"' * 1_000_000 + b"\\") == 2


@pytest.mark.parametrize(
    ("cfg", "edges", "error", "message"),
    [
        (
            '"n_layers": 20000, "n_heads": 1',
            "",
            GraphError,
            "20000 layers and 1 heads, 1600060001 ",
        ),
        ('"n_layers": 40, "n_heads": 40', "", GraphError, "layers and 40 heads, .*, got 0"),
        ('"n_layers": 1e3, "n_heads": 1', "", ResultError, "a whole number, 1 to 1048576, got"),
        (f'"n_layers": {"9" * 4000}, "n_heads": 1', "", ResultError, "a number of 13288 bits"),
        ('"n_layers": 1, "n_heads": true', "", ResultError, "cfg.n_heads .*, got True"),
    ],
)
def test_sizes_come_before_the_graph(
    tmp_path: Path, cfg: str, edges: str, error: type[Exception], message: str
) -> None:
    path = tmp_path / "graph.json"
    path.write_text(
        f'{{"cfg": {{{cfg}}}, "nodes": {{"embed": {{}}, "m0": {{}}}}, "edges": {{{edges}}}}}'
    )
    with pytest.raises(error, match=message):
        read_graph_file(path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('"score": 1' + "0" * 400, "a finite score for .*, got a number of 1329 bits"),
        ('"score": NaN', "expected a finite score"),
        ('"score": [[[]]]', r"expected a finite score for .*, got \[\[\[\]\]\]"),
        ('"label": 3', "expected in, out or undetermined, got 3"),
        ('"carries": 5', "expected names of variables for .*, got 5"),
        ('"carries": [null]', "expected names of variables"),
    ],
)
def test_entries_of_wrong_types(tmp_path: Path, entry: str, message: str) -> None:
    from knowncircuits.graph import Graph

    edges = ", ".join(f'"{edge}": {{{entry}}}' for edge in Graph(1, 1, inputs=("embed",)).edges)
    path = tmp_path / "graph.json"
    cfg = '"cfg": {"n_layers": 1, "n_heads": 1}, "nodes": {"embed": {}, "m0": {}}'
    path.write_text(f'{{{cfg}, "edges": {{{edges}}}}}')
    with pytest.raises(ResultError, match=message):
        read_graph_file(path)
