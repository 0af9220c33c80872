"""`normalise`: LayerNorm or RMSNorm in front of all that reads the residual stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from knowncircuits.errors import ModelError
from knowncircuits.models.wired.enumeration import SEED, answers_stay
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import Node
from knowncircuits.transformer import Transformer

INPUTS = 64  # on which gains are set
WRITES = ("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out")
READS = ("W_QKV", "W_in", "W_U")


@transformation(check=answers_stay)
def normalise(
    wired: Wired, norm: Literal["layer", "rms"], constant: Annotated[float, Field(ge=0)] = 1.0
) -> Wired:
    """Put a norm before each attention, each MLP and the unembedding.

    What is read is divided by the size of the whole residual stream, so that whatever any node
    writes makes all else quieter, and what is taken away makes the rest louder. Gains bring it back
    to its size on the mean of tokens. Two dimensions are added: a constant, larger at BOS,
    which else holds little and would be loud, and one in which each node writes what makes its mean
    0, so that the mean that LayerNorm takes off is 0.

    Labels: as they were, about answers: it is refused where an answer changes, of clean inputs or
    under random sets of edges. Logits do change, also under sets of edges that are out.

    Args:
        wired: the model, without norms.
        norm: `layer` (Ba et al., 2016) or `rms` (Zhang and Sennrich, 2019).
        constant: the size of the constant over that of the rest; the larger, the less the norm
            differs between inputs.

    It comes after all other steps but `confine`.

    Raises ModelError for a model that has norms.
    """
    old = wired.model
    if old.config.norm != "none":
        raise ModelError(f"expected a model without norms, got one with {old.config.norm!r}")
    stream = _stream(old, wired, old.config.n_layers)
    size = float(stream[:, 1:].pow(2).sum(-1).mean().sqrt())
    model = _widened(old, norm)
    with torch.no_grad():
        _write_constant(model, constant * size / 2**0.5, stream)
        for layer, kind in _places(model):
            before = _stream(model, wired, layer, mlp=kind > 0)[:, 1:]
            gain = before.pow(2).mean(-1).sqrt().mean()
            model.ln_w[layer + kind * model.config.n_layers] = gain
    return replace(wired, model=model)


def _write_constant(model: Transformer, constant: float, stream: Tensor) -> None:
    """Into every token; into BOS, which else holds less, so much that it is as large as tokens."""
    model.W_E[:, -2] += constant
    model.W_E[:, -1] -= constant
    sums, squares = stream.sum(-1), stream.pow(2).sum(-1)
    token = (squares + constant**2 + (constant + sums) ** 2)[:, 1:].mean()
    lead, square = sums[:, 0].mean(), squares[:, 0].mean() + sums[:, 0].pow(2).mean()
    # c where square + 2 c lead + 2 c^2 is what tokens have.
    root = lead**2 - 2 * (square - token)
    if root > 0:
        more = (root.sqrt() - lead) / 2 - constant
        model.W_E[0, -2] += more
        model.W_E[0, -1] -= more


def _places(model: Transformer) -> list[tuple[int, int]]:
    """Layer and kind (0: attention, 1: MLP) of each norm in the order of the stream."""
    n = model.config.n_layers
    kinds = range(2) if model.config.d_mlp else range(1)
    return [*((layer, kind) for layer in range(n) for kind in kinds), (n, kinds[-1])]


def _stream(model: Transformer, wired: Wired, layer: int, mlp: bool = False) -> Tensor:
    """What the residual stream holds before a layer's attention or MLP, on some inputs."""
    outputs = model.run(wired.compiled.draw(INPUTS, SEED)).outputs
    nodes = [Node(node) for node in model.graph.sources]
    before = [
        i
        for i, node in enumerate(nodes)
        if node.kind in ("embed", "pos")
        or node.layer < layer
        or (mlp and node.layer == layer and node.kind == "head")
    ]
    return outputs[:, before].sum(1)


def _widened(old: Transformer, norm: Literal["layer", "rms"]) -> Transformer:
    """The weights with two more dimensions of the stream, which nothing reads."""
    config = replace(old.config, d_model=old.config.d_model + 2, norm=norm)
    new = Transformer(config, hidden=old.hidden, dtype=old.dtype, device=old.device)
    with torch.no_grad():
        for name, weights in old.named_parameters():
            if name in WRITES:
                mine = getattr(new, name)
                mine[..., :-2] = weights
                mine[..., -1] = -mine.sum(-1)
            elif name in READS:
                getattr(new, name)[..., :-2, :] = weights
            else:
                getattr(new, name).copy_(weights)
    return new.requires_grad_(False)
