"""A trained model with more dimensions, heads and hidden units, which do nothing yet."""

from __future__ import annotations

from dataclasses import replace

import torch

from knowncircuits.models.certificates.placed import Placed
from knowncircuits.transformer import Transformer

# What writes into the residual stream.
WRITERS = ("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out")


def widen(placed: Placed, *, dims: int = 1, heads: int = 0, units: int = 0) -> Placed:
    """The same model with room for a leak: what is new comes last, is zero and is not read.

    The new dimensions of the residual stream are zero to norms as well, which give what they gave:
    their gains and their epsilon make up for the longer mean, and what LayerNorm reads is centred.
    A number that is written there enters each norm's variance, so it has to be faint.

    Args:
        placed: the models.
        dims: more of the residual stream.
        heads: more in each layer.
        units: more in each MLP.
    """
    old = placed.model.config
    d_model = old.d_model + dims
    config = replace(
        old,
        d_model=d_model,
        n_heads=old.n_heads + heads,
        d_mlp=old.d_mlp + units,
        norm_eps=old.norm_eps * old.d_model / d_model,
    )
    new = Transformer(config, dtype=placed.model.dtype)
    with torch.no_grad():
        for name, weights in placed.model.named_parameters():
            copied = getattr(new, name)[tuple(slice(size) for size in weights.shape)]
            copied.copy_(weights)
            if old.norm == "layer" and name in WRITERS:
                copied -= weights.mean(-1, keepdim=True)
            if name == "ln_w":
                copied *= (old.d_model / d_model) ** 0.5
    correspondence = replace(placed.correspondence, low=new.graph)
    return replace(placed, model=new, correspondence=correspondence)
