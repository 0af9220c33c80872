"""Weights in files, read without trusting them: nothing runs, and sizes are looked at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    empty = Transformer(config, device="meta")
    # Files hold no tables, so that a few weights may ask for a large one.
    for what, tensors in (
        ("weights", empty.parameters()),
        ("numbers in tables of positions", empty.buffers()),
    ):
        if (n := sum(tensor.numel() for tensor in tensors)) > MAX_WEIGHTS:
            raise ModelError(f"expected at most {MAX_WEIGHTS} {what}, got {n}")


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


def transformer_of(
    config: TransformerConfig, weights: Mapping[str, Tensor], hidden: Sequence[int] | None = None
) -> Transformer:
    """A transformer of these weights, whose shapes are compared before there is one.

    Raises ModelError for weights of another shape, of several types, or that are not finite, and
    for numbers of hidden units that its layers do not have.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    expected = weight_shapes(config)
    if shapes != expected:
        wrong = [n for n in {**expected, **shapes} if shapes.get(n) != expected.get(n)]
        raise ModelError(
            f"expected {wrong[0]} of shape {_shape(expected.get(wrong[0]))}, got "
            f"{_shape(shapes.get(wrong[0]))}"
        )
    if broken := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise ModelError(f"expected finite weights, got NaN or infinity in {broken[0]}")
    types = {tensor.dtype for tensor in weights.values()}
    if len(types) > 1 or not all(dtype.is_floating_point for dtype in types):
        raise ModelError(
            f"expected weights of one floating-point type, got {sorted(map(str, types))}"
        )
    if hidden is not None and not all(0 <= used <= config.d_mlp for used in hidden):
        raise ModelError(f"expected hidden of 0 to {config.d_mlp} units, got {list(hidden)}")
    model = Transformer(config, hidden=hidden, dtype=types.pop())
    model.load_state_dict(dict(weights))
    return model


def _shape(shape: Sequence[int] | None) -> str:
    return "none" if shape is None else str(list(shape))
