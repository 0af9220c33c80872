"""Pickles of others, read as plain data: nothing that they name is imported, called or built.

A pickle is a program. This reader lets through containers, numbers and strings; an object of one
of the known classes becomes a `Record` of what the pickle says of it; anything else is refused.
What all of it would cost is worked out first; see `knowncircuits.models.interop.pickle_bounds`.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any, ClassVar

from knowncircuits.errors import ModelError, ResultError
from knowncircuits.files.reading import read_bytes
from knowncircuits.models.interop.pickle_bounds import BoundError, check_bounds

MAX_BYTES = 2**20  # configurations and lists of edges are some kilobytes
PLAIN = {("builtins", "set"): set, ("builtins", "frozenset"): frozenset}
DTYPES = ("float16", "bfloat16", "float32", "float64")  # `torch.float32` becomes "torch.float32"
NUMBERS = {"f8": "d", "f4": "f", "i8": "q", "i4": "i"}  # numpy's types, by struct's
RECORDED = {
    ("numpy", "dtype"),
    ("torch", "device"),
    ("transformer_lens.HookedTransformerConfig", "HookedTransformerConfig"),
    ("transformer_lens.config.HookedTransformerConfig", "HookedTransformerConfig"),
    ("circuits_benchmark.utils.circuit.circuit_node", "CircuitNode"),
}
# What plain data does not need: objects kept elsewhere, numbers registered for classes, buffers.
REFUSED = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}


class Record:
    """What a pickle says of an object of a known class, in place of that object."""

    name: ClassVar[str]  # of the class, with its module
    args: tuple[Any, ...]  # that it was called with
    state: Any  # that it was then given; None if nothing

    def __new__(cls, *args: Any) -> Record:
        """Keep the arguments."""
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        """Keep the state: without this method, pickle would set attributes that it names."""
        self.state = state


class _Number(Record):
    """Stands for numpy's scalars, such as the square roots in TransformerLens's configurations."""

    def __new__(cls, dtype: Any, data: Any) -> Any:
        """A plain number."""
        (number,) = struct.unpack(dtype.state[1] + NUMBERS[dtype.args[0]], data)
        return number


def read_pickle(path: Path) -> Any:
    """The plain data of a pickle; see the module.

    Raises ModelError, with nothing executed, for a pickle that names anything else or stands for
    too much, for what is no pickle, and for what is no regular file of at most `MAX_BYTES`.
    """
    try:
        content = read_bytes(path, "a pickle of plain data", MAX_BYTES)
    except ResultError as error:
        raise ModelError(str(error)) from error
    return parse_pickle(content, f"plain data in {path}", Reader)


def parse_pickle(content: bytes, what: str, reader: type[Reader]) -> Any:
    """A pickle's data as a reader has it; `what` is what messages expect. See `read_pickle`."""
    try:
        _check_opcodes(content, reader.refused)
        check_bounds(content)
        return reader(io.BytesIO(content)).load()
    except (RefusedError, BoundError) as error:
        raise ModelError(f"expected {what}, got {error}; nothing was run") from None
    except Exception as error:  # a broken pickle can fail in any way
        kind, text = type(error).__name__, str(error)[:200]
        raise ModelError(f"expected a pickle of {what}, got {kind}: {text}") from error


class RefusedError(Exception):
    """The pickle asks for more than data."""


class Reader(pickle.Unpickler):
    """Reads plain data, and objects of known classes as records."""

    refused: ClassVar[set[str]] = REFUSED

    def find_class(self, module: str, name: str, /) -> Any:
        """What a name in the pickle stands for; raises RefusedError for any but the known ones."""
        if (module, name) in PLAIN:
            return PLAIN[module, name]
        if module == "torch" and name in DTYPES:
            return f"torch.{name}"
        # A new class each time: what a pickle does to one reaches no other.
        if (module, name) in RECORDED:
            return type(name, (Record,), {"name": f"{module}.{name}"})
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return type(name, (_Number,), {})
        raise RefusedError(f"{module}.{name}")


def _check_opcodes(content: bytes, refused: set[str]) -> None:
    """Refuse what plain data does not need, and sizes that a short file cannot mean.

    Reading the opcodes one by one also finds lengths beyond the end of the file, for which pickle
    would first set memory aside, as it would for a large place in its memo.
    """
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in refused:
            raise RefusedError(f"the opcode {opcode.name}")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise RefusedError(f"the place {argument} in a memo of at most {len(content)}")
