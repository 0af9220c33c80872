"""Weights in files, read without trusting them: nothing runs, and sizes are looked at first."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ModelError, ResultError
from knowncircuits.exchange import MAX_EDGES
from knowncircuits.files.reading import read_bytes
from knowncircuits.transformer import Transformer

MAX_BYTES = 2**29  # of a model's weights
MAX_WEIGHTS = 2**27
MAX_SIZE, MAX_CONTEXT = 2**16, 2**13  # GPT-2 has d_vocab 50,257 and n_ctx 1,024
MAX_HEADER = 2**20  # of a safetensors file: names, types and shapes as JSON


def check_sizes(config: TransformerConfig) -> None:
    """Raise ModelError for a model for which no memory should be set aside."""
    bounds = {"n_ctx": MAX_CONTEXT}
    for name, size in asdict(config).items():
        if type(size) is int and size > bounds.get(name, MAX_SIZE):
            raise ModelError(f"expected {name} of at most {bounds.get(name, MAX_SIZE)}, got {size}")
    if config.graph.n_edges > MAX_EDGES:
        raise ModelError(f"expected at most {MAX_EDGES} edges, got {config.graph.n_edges}")
    n_weights = sum(math.prod(shape) for shape in weight_shapes(config).values())
    if n_weights > MAX_WEIGHTS:
        raise ModelError(f"expected at most {MAX_WEIGHTS} weights, got {n_weights}")


def weight_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of a transformer, of which none is made."""
    state = Transformer(config, device="meta").state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


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
