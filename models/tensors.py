"""Weights in files, read without trusting them: nothing runs, and sizes are looked at first."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from knowncircuits.errors import ResultError
from knowncircuits.reading import read_bytes

MAX_BYTES = 2**29  # of a model's weights
MAX_HEADER = 2**20  # of a safetensors file: names, types and shapes as JSON


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Raises ResultError if it cannot be read, is too large, or is no such file.
    """
    what = "weights as safetensors"
    data = read_bytes(path, what, MAX_BYTES)
    header = int.from_bytes(data[:8], "little")
    if header > MAX_HEADER:
        raise ResultError(f"{path}: expected {what}, got a header of more than {MAX_HEADER} bytes")
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        got = " ".join(str(error).split())[:200]
        raise ResultError(f"{path}: expected {what}, got {got or type(error).__name__}") from error
