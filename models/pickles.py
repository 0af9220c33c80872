"""Pickles of others, read as plain data: nothing that they name is imported, called or built.

A pickle is a program. This reader lets through containers, numbers and strings; an object of one
of the known classes becomes a `Record` of what the pickle says of it; anything else is refused.
What it does not bound is time: a short pickle of tuples within tuples can take long to hash.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any, ClassVar

from knowncircuits.errors import ModelError

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
    """In place of numpy's scalars, such as the square roots in TransformerLens's configurations."""

    def __new__(cls, dtype: Any, data: Any) -> Any:
        """A plain number."""
        (number,) = struct.unpack(dtype.state[1] + NUMBERS[dtype.args[0]], data)
        return number


def read_pickle(path: Path) -> Any:
    """The plain data of a pickle; see the module.

    Raises ModelError, with nothing executed, for a pickle that names anything else, for what is no
    pickle, and for a file of more than `MAX_BYTES`.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelError(f"expected at most {MAX_BYTES} bytes in {path}, got {size}")
    content = path.read_bytes()
    try:
        _check_opcodes(content)
        return _Reader(io.BytesIO(content)).load()
    except _RefusedError as error:
        raise ModelError(f"expected plain data in {path}, got {error}; nothing was run") from None
    except Exception as error:  # a broken pickle can fail in any way
        kind = type(error).__name__
        raise ModelError(
            f"expected a pickle of plain data in {path}, got {kind}: {error}"
        ) from error


class _RefusedError(Exception):
    """The pickle asks for more than data."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) in PLAIN:
            return PLAIN[module, name]
        if module == "torch" and name in DTYPES:
            return f"torch.{name}"
        # A new class each time: what a pickle does to one reaches no other.
        if (module, name) in RECORDED:
            return type(name, (Record,), {"name": f"{module}.{name}"})
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return type(name, (_Number,), {})
        raise _RefusedError(f"{module}.{name}")


def _check_opcodes(content: bytes) -> None:
    """Refuse what plain data does not need, and sizes that a short file cannot mean.

    Reading the opcodes one by one also finds lengths beyond the end of the file, for which pickle
    would first set memory aside, as it would for a large place in its memo.
    """
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in REFUSED:
            raise _RefusedError(f"the opcode {opcode.name}")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise _RefusedError(f"the place {argument} in a memo of at most {len(content)}")
