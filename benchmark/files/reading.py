"""Files read within bounds: regular ones, of limited size, and JSON that is neither deep nor vast.

A short JSON text can stand for a hundred times its size in memory, and a deep one end in a
recursion, so that depth and number of values are looked at before it is parsed.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from knowncircuits.errors import ResultError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Read = TypeVar("Read")
MAX_BYTES = 2**27  # of a file: scores of the largest graph, see `exchange.MAX_EDGES`
MAX_VALUES = 8_000_000  # of a JSON text
MAX_DEPTH = 32  # of objects and lists in each other
# Also one without an end, so that no text is gone through again and again.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
OPENING, CLOSING = np.frombuffer(b"[{", np.uint8), np.frombuffer(b"]}", np.uint8)
BINARY = getattr(os, "O_BINARY", 0)
NO_LINK, NO_WAIT = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)


def read_json(path: str | Path, what: str = "JSON", most: int = MAX_BYTES) -> Any:
    """A JSON document in UTF-8, in which no object has a key twice.

    Args:
        path: a regular file, or a link to one.
        what: what messages say was expected.
        most: bytes that the file may have.

    Raises:
        ResultError: if it cannot be read, is too large, or is no such document.
    """
    try:
        return parse_json(read_regular(path, most))
    except (OSError, ValueError, RecursionError) as error:
        got = error.strerror if isinstance(error, OSError) else error
        raise ResultError(f"{path}: expected {what}, got {got}") from error


def read_as(schema: TypeAdapter[Read], path: str | Path, what: str, most: int = MAX_BYTES) -> Read:
    """What a schema makes of a JSON document, as it is written: no text is taken for a number.

    Raises ResultError as `read_json`, and for what the schema refuses first.
    """
    from pydantic import ValidationError

    document = read_json(path, what, most)
    try:
        return schema.validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise ResultError(f"{path}: expected {what}, got {first_problem(error)}") from error


def read_bytes(path: str | Path, what: str, most: int = MAX_BYTES) -> bytes:
    """A regular file's contents; raises ResultError as `read_json`."""
    try:
        return read_regular(path, most)
    except (OSError, ValueError) as error:
        got = error.strerror if isinstance(error, OSError) else error
        raise ResultError(f"{path}: expected {what}, got {got}") from error


def read_regular(path: str | Path, most: int, *, follow: bool = True) -> bytes:
    """A regular file's contents.

    Raises OSError, or ValueError, in words, for a pipe, a device, a folder, or a file of more than
    `most` bytes; for a link, too, unless links are followed.
    """
    # Not blocking: the name may be a pipe's.
    flags = os.O_RDONLY | BINARY | NO_WAIT | (0 if follow else NO_LINK)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("something that is no regular file")
        if status.st_size > most:
            raise ValueError(f"{status.st_size} bytes, more than {most}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise ValueError(f"more than {most} bytes")
    return data


def parse_json(data: bytes) -> Any:
    """The document of a JSON text; raises ValueError, in words, for what `read_json` refuses."""
    check_size(data)
    if (depth := nesting(data)) > MAX_DEPTH:
        raise ValueError(f"{depth} objects and lists in each other, more than {MAX_DEPTH}")
    return json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates)


def check_size(data: bytes, most: int = MAX_BYTES) -> None:
    """Raise ValueError, in words, for a JSON text of more bytes or values than a reader takes."""
    if len(data) > most:
        raise ValueError(f"{len(data)} bytes, more than {most}")
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")


def first_problem(error: ValidationError) -> str:
    """The first thing that a schema refuses, and where, in a line."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:60] for part in found["loc"])
    return f"{place}: {found['msg']}" if place else found["msg"]


def nesting(data: bytes) -> int:
    """How many objects and lists of a JSON text lie in each other."""
    symbols = np.frombuffer(STRING.sub(b"", data), np.uint8)
    opening, closing = np.isin(symbols, OPENING), np.isin(symbols, CLOSING)
    steps = opening.astype(np.int8) - closing.astype(np.int8)
    return int(np.cumsum(steps[opening | closing]).max(initial=0))


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {name[:60]!r} twice")
    return found
