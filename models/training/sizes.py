"""The sizes of a model to be trained."""

from __future__ import annotations

import json
import math
from pathlib import Path

from knowncircuits.architecture import TransformerConfig
from knowncircuits.choices import Activation, Norm, Positions
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError
from knowncircuits.models.interop.tensors import check_sizes

# Those of the models that InterpBench trains, by case.
SIZES = Path(__file__).with_name("low_level.json")


def low_level_config(
    compiled: Compiled,
    *,
    n_layers: int | None = None,
    n_heads: int | None = None,
    d_model: int | None = None,
    d_head: int | None = None,
    activation: Activation = "gelu",
    norm: Norm = "none",
    gated: bool = False,
    positions: Positions = "learned",
    none: bool = False,
) -> TransformerConfig:
    """Sizes for a model to be trained: InterpBench's for its cases, or those that are given.

    Without InterpBench's, at least two layers and four heads, and half the compiled model's width,
    so that variables are in superposition; heads that share out the width, unless `d_head` is
    given: heads that compare as many keys as a program may have need more. GELU, no norm, no gate
    and learned positions unless others are asked for. With `none` the model has one output more,
    for where the compiled one says None; see `Placed.says_none`.

    Raises ModelError where `none` is asked of a model of numbers, and for sizes beyond all bounds.
    """
    high = compiled.model.config
    if none and compiled.output.numerical:
        raise ModelError(f"expected values for an answer none, got numbers of {compiled.name}")
    derived = {
        "n_layers": max(2, high.n_layers),
        "n_heads": max(4, high.n_heads),
        "d_model": max(12, math.ceil(high.d_model / 2)),
    }
    sizes = json.loads(SIZES.read_text(encoding="utf-8")).get(compiled.name, derived)
    given = {"n_layers": n_layers, "n_heads": n_heads, "d_model": d_model}
    if said := {name: size for name, size in given.items() if size is not None}:
        sizes = {name: sizes[name] for name in derived} | said
    width, heads = sizes["d_model"], sizes["n_heads"]
    config = TransformerConfig(
        n_layers=sizes["n_layers"],
        n_heads=heads,
        d_model=width,
        d_head=sizes.get("d_head", max(1, width // max(1, heads))) if d_head is None else d_head,
        d_mlp=sizes.get("d_mlp", 4 * width),
        n_ctx=high.n_ctx,
        d_vocab=high.d_vocab,
        d_vocab_out=high.d_vocab_out + none,
        causal=high.causal,
        activation=activation,
        norm=norm,
        gated=gated,
        positions=positions,
    )
    check_sizes(config)
    return config
