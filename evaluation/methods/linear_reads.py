"""What every input of a model reads linearly of every source, and paths along which that goes on.

See `knowncircuits.models.reads` for what is read through. Norms are taken as scales that stay as
they are.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.graph import Graph
from knowncircuits.models.reads import norms_before, output_grams, readers
from knowncircuits.transformer import Transformer

Paths = Literal["best", "all"]
Shares = Float[np.ndarray, " edge"]
TINY = 1e-30


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

    See `knowncircuits.models.reads.output_grams` for the former.
    """
    with torch.no_grad():
        grams = output_grams(model)
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
