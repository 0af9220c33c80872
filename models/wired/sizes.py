"""A model's weights in a larger one, node by node at their places there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from knowncircuits.architecture import TransformerConfig
from knowncircuits.models.interop.tensors import check_sizes
from knowncircuits.names import Node
from knowncircuits.transformer import Transformer


def grown(
    model: Transformer,
    *,
    n_layers: int | None = None,
    n_heads: int | None = None,
    hidden: Sequence[int] | None = None,
) -> Transformer:
    """The same model with more layers, heads or hidden units, its nodes at the same places.

    Raises ModelError for sizes that are too large.
    """
    old = model.config
    config = replace(old, n_layers=n_layers or old.n_layers, n_heads=n_heads or old.n_heads)
    hidden = hidden or [*model.hidden, *[0] * (config.n_layers - old.n_layers)]
    return set_into(model, config, {str(node): str(node) for node in model.graph.sources}, hidden)


def set_into(
    model: Transformer,
    config: TransformerConfig,
    places: Mapping[str, str],
    hidden: Sequence[int],
) -> Transformer:
    """The same function in a larger model, whose other weights are zero.

    Args:
        model: without norms, gates and biases of attention, as compiled ones are.
        config: of the larger model; as wide MLPs as `hidden` asks for are made.
        places: where nodes go, heads to heads and MLPs to MLPs; those that are not in it stay
            behind.
        hidden: how many units each MLP is to have.

    Raises:
        ModelError: for sizes that are too large.
    """
    config = replace(config, d_mlp=max(config.d_mlp, *hidden))
    check_sizes(config)
    new = Transformer(config, hidden=hidden, dtype=model.dtype, device=model.device)
    with torch.no_grad():
        for name in ("W_E", "W_pos", "W_U"):
            matrix = getattr(model, name)
            getattr(new, name)[: matrix.shape[0], : matrix.shape[1]] = matrix
        new.b_U.copy_(model.b_U)
        for node, place in places.items():
            if Node(node).kind == "head":
                _set_head(model, new, Node(node), Node(place))
            elif Node(node).kind == "mlp":
                _set_mlp(model, new, Node(node).layer, Node(place).layer)
    return new.requires_grad_(False)


def copy_of(model: Transformer) -> Transformer:
    """A model of the same weights, to be changed."""
    new = Transformer(model.config, hidden=model.hidden, dtype=model.dtype, device=model.device)
    new.load_state_dict(model.state_dict())
    return new.requires_grad_(False)


def _set_head(old: Transformer, new: Transformer, node: Node, place: Node) -> None:
    D, K = old.config.d_model, old.config.d_head
    W_QKV, b_QKV = old.W_QKV[node.layer, :, node.head], old.b_QKV[node.layer, :, node.head]
    new.W_QKV[place.layer, :, place.head, :D, :K] = W_QKV
    new.b_QKV[place.layer, :, place.head, :K] = b_QKV
    new.W_O[place.layer, place.head, :K, :D] = old.W_O[node.layer, node.head]
    if new.config.d_head != K:  # scores are divided by its root
        for weights in (new.W_QKV, new.b_QKV):
            weights[place.layer, 0, place.head] *= math.sqrt(new.config.d_head / K)


def _set_mlp(old: Transformer, new: Transformer, layer: int, place: int) -> None:
    D = old.config.d_model
    M = min(old.hidden[layer], new.hidden[place])
    new.W_in[place, :D, :M] = old.W_in[layer, :, :M]
    new.b_in[place, :M] = old.b_in[layer, :M]
    new.W_out[place, :M, :D] = old.W_out[layer, :M]
    new.b_out[place, :D] = old.b_out[layer]
