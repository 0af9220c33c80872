"""What every input of a model reads linearly of every source, and paths along which that goes on.

A head reads queries and keys through W_Q and W_K, and values through W_V W_O, since what W_O drops
is read by nobody. An MLP reads through its input matrix and its gate, and `logits` through W_U less
its mean over the vocabulary, which a softmax does not see. Norms are taken as scales that stay as
they are.
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
            gate = [model.W_gate[layer]] if c.gated else []
            found.append(torch.cat([model.W_in[layer], *gate], -1)[None])
    W_U = model.W_U
    found.append((W_U - W_U.mean(1, keepdim=True) if c.d_vocab_out > 1 else W_U)[None])
    return found


def norms_before(model: Transformer) -> list[tuple[int, int]]:
    """For each block the place of its norm among `config.norms`, and how many layers' b_O it sees.

    Biases are in the residual stream, though no source writes them.
    """
    c = model.config
    found = []
    for layer in range(c.n_layers):
        found += [(layer, layer)] * 3
        if c.d_mlp:
            found.append((c.n_layers + layer, layer + 1))
    return [*found, (-1, c.n_layers)]


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
        places = zip(model.graph.blocks, readers(model), norms_before(model), strict=True)
        for block, matrices, (place, biases) in places:
            written = _normed(model, outputs[:, : block.n_sources], place, biases)[:, :, 1:]
            written = written - written.mean(0)
            covariance = torch.einsum("bspd,bspe->sde", written, written)
            read = torch.einsum("sde,kdr,ker->ks", covariance, matrices, matrices)
            found.append(read.flatten() / (len(tokens) * max(1, written.shape[2])))
    return torch.cat(found).double().cpu().numpy().clip(min=0)


def weights_read(model: Transformer) -> Float[np.ndarray, " edge"]:
    """For each edge the squared norm of its source's output matrix times its destination's reader.

    A source's output matrix is W_E less its mean over tokens, W_pos less its mean over positions,
    W_V W_O of a head, and W_out of an MLP, each hidden unit times the norm of what it reads by,
    and of its gate.
    """
    c = model.config
    with torch.no_grad():
        inputs = [model.W_E, model.W_pos] if c.positions == "learned" else [model.W_E]
        written = [matrix - matrix.mean(0) for matrix in inputs]
        for layer in range(c.n_layers):
            written += (model.W_QKV[layer, 2] @ model.W_O[layer]).unbind()
            if c.d_mlp:
                units = model.W_in[layer].norm(dim=0)
                units = units * model.W_gate[layer].norm(dim=0) if c.gated else units
                written.append(units[:, None] * model.W_out[layer])
        grams = torch.stack([matrix.T @ matrix for matrix in written])
        found = []
        places = zip(model.graph.blocks, readers(model), norms_before(model), strict=True)
        for block, matrices, (place, _) in places:
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
    """What a norm does but for its scale: it has gains, and LayerNorm takes the mean off."""
    c = model.config
    identity = torch.eye(c.d_model, dtype=model.dtype, device=model.device)
    if c.norm == "none":
        return identity
    return (identity - 1 / c.d_model if c.norm == "layer" else identity) * model.ln_w[place]


def _normed(
    model: Transformer,
    outputs: Float[Tensor, "input source pos d_model"],
    place: int,
    biases: int,
) -> Float[Tensor, "input source pos d_model"]:
    """What each source's output becomes in the norm, whose scale is that of all of them."""
    c = model.config
    if c.norm == "none":
        return outputs
    stream = outputs.sum(1, keepdim=True) + model.b_O[:biases].sum(0)
    if c.norm == "layer":
        stream = stream - stream.mean(-1, keepdim=True)
    scale = (stream.square().mean(-1, keepdim=True) + c.norm_eps).sqrt()
    return outputs @ _gain(model, place) / scale
