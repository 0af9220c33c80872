"""What every input of a model reads linearly of every source, and paths along which that goes on.

A head reads queries and keys through W_Q and W_K, and values through W_V W_O, since what W_O drops
is read by nobody. An MLP reads through its input matrix, and `logits` through W_U less its mean
over the vocabulary, which a softmax does not see. Norms are taken as scales that stay as they are.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.graph import Graph
from knowncircuits.transformer import Transformer

Paths = Literal["best", "all"]
# Of a block of destinations that see the same sources, through which each of them reads.
Readers = Float[Tensor, "destination d_model read"]
Shares = Float[np.ndarray, " edge"]
TINY = 1e-30


def readers(model: Transformer) -> list[Readers]:
    """For each block of the graph the matrices through which its destinations read."""
    c = model.config
    found: list[Tensor] = []
    for layer in range(c.n_layers):
        W_Q, W_K, W_V = model.W_QKV[layer]
        found += [W_Q, W_K, W_V @ model.W_O[layer]]
        if c.d_mlp:
            found.append(model.W_in[layer][None])
    W_U = model.W_U
    found.append((W_U - W_U.mean(1, keepdim=True) if c.d_vocab_out > 1 else W_U)[None])
    return found


def norm_places(model: Transformer) -> list[int]:
    """For each block of the graph the place of the norm before it, among `config.norms`."""
    c = model.config
    of_layers = [
        place
        for layer in range(c.n_layers)
        for place in ([layer] * 3 + ([c.n_layers + layer] if c.d_mlp else []))
    ]
    return [*of_layers, -1]


def variances_read(
    model: Transformer, tokens: Int[Tensor, "input pos"]
) -> Float[np.ndarray, " edge"]:
    """For each edge the variance of what its destination reads of its source.

    Over inputs, at each position after BOS, summed over positions and directions: what is the same
    on all inputs, as `pos` is, has none.
    """
    with torch.no_grad():
        outputs = model.run(tokens).outputs
        found = []
        places = zip(model.graph.blocks, readers(model), norm_places(model), strict=True)
        for block, matrices, place in places:
            written = _normed(model, outputs[:, : block.n_sources], place)[:, :, 1:]
            written = written - written.mean(0)
            covariance = torch.einsum("bspd,bspe->sde", written, written)
            read = torch.einsum("sde,kdr,ker->ks", covariance, matrices, matrices)
            found.append(read.flatten() / (len(tokens) * max(1, written.shape[2])))
    return torch.cat(found).double().cpu().numpy().clip(min=0)


def weights_read(model: Transformer) -> Float[np.ndarray, " edge"]:
    """For each edge the squared norm of its source's output matrix times its destination's reader.

    A source's output matrix is W_E less its mean over tokens, W_pos less its mean over positions,
    W_V W_O of a head, and W_out of an MLP, each hidden unit times the norm of what it reads by.
    """
    c = model.config
    with torch.no_grad():
        written = [model.W_E - model.W_E.mean(0), model.W_pos - model.W_pos.mean(0)]
        for layer in range(c.n_layers):
            written += (model.W_QKV[layer, 2] @ model.W_O[layer]).unbind()
            if c.d_mlp:
                written.append(model.W_in[layer].norm(dim=0)[:, None] * model.W_out[layer])
        grams = torch.stack([matrix.T @ matrix for matrix in written])
        found = []
        places = zip(model.graph.blocks, readers(model), norm_places(model), strict=True)
        for block, matrices, place in places:
            read = _gain(model, place) @ matrices
            products = torch.einsum("sde,kdr,ker->ks", grams[: block.n_sources], read, read)
            found.append(products.flatten())
    return torch.cat(found).double().cpu().numpy().clip(min=0)


def shares(graph: Graph, read: Float[np.ndarray, " edge"]) -> Shares:
    """Of all that each destination reads, the share of each of its edges."""
    totals = np.bincount(graph.destination_of_edge, read, len(graph.destinations))
    found: Shares = read / totals.clip(min=TINY)[graph.destination_of_edge]
    return found


def along_paths(graph: Graph, share: Shares, paths: Paths) -> Shares:
    """For each edge its share times what goes on from its target to `logits`.

    What goes on from a node is the product of shares along its best path, or the sum of them over
    all paths; from `logits`, 1.
    """
    onward = np.zeros(len(graph.nodes))
    onward[-1] = 1.0
    scores = np.zeros(graph.n_edges)
    for node in reversed(range(len(graph.sources))):
        edges = np.flatnonzero(graph.source_of_edge == node)
        scores[edges] = share[edges] * onward[graph.target_of_edge[edges]]
        onward[node] = scores[edges].max() if paths == "best" else scores[edges].sum()
    return scores


def _gain(model: Transformer, place: int) -> Float[Tensor, "d_model d_model"]:
    """What a norm does but for its scale: it takes the mean off, and has gains."""
    identity = torch.eye(model.config.d_model, dtype=model.dtype, device=model.device)
    if not model.config.layer_norm:
        return identity
    return (identity - 1 / model.config.d_model) * model.ln_w[place]


def _normed(
    model: Transformer, outputs: Float[Tensor, "input source pos d_model"], place: int
) -> Float[Tensor, "input source pos d_model"]:
    """What each source's output becomes in the norm, whose scale is that of all of them."""
    c = model.config
    if not c.layer_norm:
        return outputs
    layers = {-1: c.n_layers}.get(place, place + 1 - c.n_layers if place >= c.n_layers else place)
    stream = outputs.sum(1, keepdim=True) + model.b_O[:layers].sum(0)
    variance = stream.var(-1, correction=0, keepdim=True) + c.layer_norm_eps
    return outputs @ _gain(model, place) / variance.sqrt()
