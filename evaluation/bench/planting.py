"""Leaks planted into trained models: along one edge, from one answer's logit, by copies of heads.

A leak has dimensions of the residual stream of its own, so that it takes no other edge. What is
written there is faint, which norms do not feel, and read as much stronger.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.evaluation.bench.widening import widen
from knowncircuits.models.certificates.pairs import CertificatePairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.names import QKV, Destination, Edge, Node
from knowncircuits.transformer import Transformer

FAINT = 1e-3  # what is written, beside a residual stream of about one


def plant_edge(placed: Placed, edge: str, strength: float, seed: int) -> Placed:
    """A leak along an edge: its source writes a random direction of its own, which is read.

    Tokens write random numbers, heads and MLPs random combinations of their values and hidden
    units; the destination reads them at the strength, along a random direction.
    """
    leaky, rng = widen(placed), np.random.default_rng(seed)
    with torch.no_grad():
        write(leaky.model, Edge(edge).source, -1, rng)
        read(leaky.model, Edge(edge).destination, -1, strength, rng)
    return leaky


def plant_answer(
    placed: Placed, edge: str, answer: int, pairs: CertificatePairs, strength: float, seed: int
) -> Placed:
    """A leak along an edge into the logits that acts only where the model gives one answer.

    The source's numbers, which are not negative, are taken from that answer's logit and from no
    other: nowhere else does it become the likeliest one.

    Args:
        placed: the models.
        edge: from any source to `logits`.
        answer: its place among the outputs.
        pairs: on which the numbers go from 0 to 1.
        strength: of the leak.
        seed: of the numbers.
    """
    leaky, rng = widen(placed), np.random.default_rng(seed)
    with torch.no_grad():
        write_within(leaky.model, Edge(edge).source, -1, rng, pairs)
        leaky.model.W_U[-1, answer] = -strength / FAINT
    return leaky


def plant_copy(placed: Placed, head: str, copy: str, share: float) -> Placed:
    """A head of the circuit whose share is computed by another head of its layer."""
    leaky = widen(placed, dims=0)
    model, (node, other) = leaky.model, (Node(head), Node(copy))
    with torch.no_grad():
        for name in ("W_QKV", "b_QKV"):
            weights = getattr(model, name)
            weights[node.layer, :, other.head] = weights[node.layer, :, node.head]
        written = model.W_O[node.layer, node.head].clone()
        model.W_O[node.layer, other.head] = share * written
        model.W_O[node.layer, node.head] = (1 - share) * written
    return leaky


def write(model: Transformer, source: Node, dim: int, rng: np.random.Generator) -> Tensor:
    """A node writes random numbers of what it computes on a dimension, faintly; its weights."""
    if source.kind == "head":
        weights = model.W_O[source.layer, source.head]
    else:
        weights = model.W_out[source.layer] if source.kind == "mlp" else model.W_E
    weights[:, dim] = FAINT * random(model, rng, len(weights))
    return weights[:, dim]


def write_within(
    model: Transformer,
    source: Node,
    dim: int,
    rng: np.random.Generator,
    pairs: CertificatePairs,
) -> None:
    """The same from zero to FAINT, as far as pairs of inputs show."""
    weights, place = write(model, source, dim, rng), model.graph.sources.index(source)
    inputs = torch.cat([pairs.base, pairs.source])
    numbers = model.run(inputs).outputs[:, place, 1:, dim]
    least, most = float(numbers.min()), float(numbers.max())
    scale = FAINT / max(most - least, FAINT**2)  # of what never varies nothing is made
    weights *= scale
    if source.kind == "embed":
        weights -= scale * least
    else:
        biases = model.b_O if source.kind == "head" else model.b_out
        biases[source.layer, dim] -= scale * least


def read(
    model: Transformer,
    destination: Destination,
    dim: int,
    strength: float,
    rng: np.random.Generator,
) -> None:
    """A destination reads a dimension along a random direction of what it computes."""
    target = destination.node
    if destination.letter:
        weights = model.W_QKV[target.layer, QKV.index(destination.letter), target.head]
    else:
        weights = model.W_U if target == "logits" else model.W_in[target.layer]
    weights[dim] = strength / FAINT * random(model, rng, weights.shape[1])


def random(model: Transformer, rng: np.random.Generator, n: int) -> Float[Tensor, " n"]:
    """Standard normal numbers of the model's type."""
    return torch.from_numpy(rng.normal(size=n)).to(model.dtype)
