"""Leaks planted into trained models, along one edge each, or by a weak copy of a head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from knowncircuits.models.certificates.placed import Placed
from knowncircuits.names import QKV, Edge, Node
from knowncircuits.transformer import Transformer


def widen(placed: Placed) -> Placed:
    """The same model with one more dimension of the residual stream, which is zero and not read.

    What is written there by one source and read by one destination leaks along that edge alone.
    Only for models without norms, which would read it.
    """
    old = placed.model
    new = Transformer(replace(old.config, d_model=old.config.d_model + 1), dtype=old.dtype)
    with torch.no_grad():
        for name, weights in old.named_parameters():
            getattr(new, name)[tuple(slice(size) for size in weights.shape)] = weights
    return replace(placed, model=new)


def plant_edge(placed: Placed, edge: str, strength: float, seed: int) -> Placed:
    """A leak along an edge: its source writes a random direction of its own, which is read.

    Tokens write random numbers, heads and MLPs random combinations of their values and hidden
    units; the destination reads them at the strength, along a random direction.
    """
    leaky = widen(placed)
    model, name = leaky.model, Edge(edge)
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape)).to(model.dtype)

    source, target, letter = name.source, name.target, name.destination.letter
    with torch.no_grad():
        if source.kind == "head":
            model.W_O[source.layer, source.head, :, -1] = random(model.config.d_head)
        elif source.kind == "mlp":
            model.W_out[source.layer, :, -1] = random(model.config.d_mlp)
        else:
            model.W_E[:, -1] = random(model.config.d_vocab)
        if letter:
            place = target.layer, QKV.index(letter), target.head
            model.W_QKV[*place, -1] = strength * random(model.config.d_head)
        elif target == "logits":
            model.W_U[-1] = strength * random(model.config.d_vocab_out)
        else:
            model.W_in[target.layer, -1] = strength * random(model.config.d_mlp)
    return leaky


def plant_copy(placed: Placed, head: str, copy: str, share: float) -> Placed:
    """A head of the circuit whose share is computed by another head of its layer."""
    leaky = widen(placed)
    model, (node, other) = leaky.model, (Node(head), Node(copy))
    with torch.no_grad():
        for name in ("W_QKV", "b_QKV"):
            weights = getattr(model, name)
            weights[node.layer, :, other.head] = weights[node.layer, :, node.head]
        written = model.W_O[node.layer, node.head].clone()
        model.W_O[node.layer, other.head] = share * written
        model.W_O[node.layer, node.head] = (1 - share) * written
    return leaky
