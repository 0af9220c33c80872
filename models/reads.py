"""What the nodes of a transformer read and write through, as matrices: its linear parts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.transformer import Transformer

# The matrices through which the destinations of a block read, which see the same sources.
Readers = Float[Tensor, "destination d_model read"]


def readers(model: Transformer) -> list[Readers]:
    """For each block of the graph the matrices through which its destinations read.

    A head reads queries and keys through W_Q and W_K, and values through W_V W_O, since what W_O
    drops is read by nobody. An MLP reads through its input matrix and its gate, and `logits`
    through W_U less its mean over the vocabulary, which a softmax does not see.
    """
    c = model.config
    found: list[Tensor] = []
    for layer in range(c.n_layers):
        W_Q, W_K, W_V = model.W_QKV[layer].unbind()
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


def output_grams(model: Transformer) -> Float[Tensor, "source d_model d_model"]:
    """The product of each source's output matrix with itself, over directions that are written.

    A source's output matrix is W_E less its mean over tokens, W_pos less its mean over positions,
    W_V W_O of a head, and W_out of an MLP, each hidden unit times the norm of what it reads by,
    and of its gate.
    """
    c = model.config
    inputs = [model.W_E, model.W_pos] if c.positions == "learned" else [model.W_E]
    written = [matrix - matrix.mean(0) for matrix in inputs]
    for layer in range(c.n_layers):
        written += (model.W_QKV[layer, 2] @ model.W_O[layer]).unbind()
        if c.d_mlp:
            units = model.W_in[layer].norm(dim=0)
            units = units * model.W_gate[layer].norm(dim=0) if c.gated else units
            written.append(units[:, None] * model.W_out[layer])
    return torch.stack([matrix.T @ matrix for matrix in written])
