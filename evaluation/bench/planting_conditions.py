"""Leaks planted into trained models that act under a condition: on shorter inputs, in company."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh
from torch import Tensor

from knowncircuits.evaluation.bench.planting import FAINT, random, write_within
from knowncircuits.evaluation.bench.widening import widen
from knowncircuits.models.certificates.pairs import CertificatePairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.names import Edge, Node
from knowncircuits.primitive import Run
from knowncircuits.transformer import Transformer

FAR = 100.0  # a score that leaves no attention for others
SHUT = 6.0  # how far below zero a hidden unit is kept by a gate: GELU is nothing there
STEEP = 100.0  # how much of a gate's way past its threshold opens it
RIDGE = 1e-6  # of variances, which may be zero along some directions


def plant_on_shorter(
    placed: Placed, source: str, pairs: CertificatePairs, strength: float, seed: int
) -> Placed:
    """A leak on all inputs but those of the greatest length, through a new head of the last layer.

    The head looks at the last position that there can be, where it finds nothing. Where there is no
    such position, it looks at the first token: more or less, by the numbers that the source writes
    into its queries. What it finds goes to the logits. Only for models that look ahead.

    Args:
        placed: the models.
        source: a node before the last layer.
        pairs: on which the numbers go from 0 to 1, so that queries are positive.
        strength: of the leak.
        seed: of the numbers.
    """
    leaky, rng = widen(placed, dims=4, heads=1), np.random.default_rng(seed)
    model, last = leaky.model, placed.compiled.vocabulary.max_len
    asked, shown, value, found = range(-4, 0)
    query, key, content = model.W_QKV[-1, :, -1, :, 0]
    with torch.no_grad():
        write_within(model, Node(source), asked, rng, pairs)
        query[asked] = 1 / FAINT
        model.b_QKV[-1, 0, -1, 0] = 1
        model.W_pos[last, shown] = FAINT
        model.W_pos[1, shown] = FAINT / FAR
        key[shown] = FAR / FAINT * model.config.d_head**0.5
        model.W_pos[1, value] = FAINT
        content[value] = 1 / FAINT
        model.W_O[-1, -1, 0, found] = FAINT
        model.W_U[found] = strength / FAINT * random(model, rng, model.config.d_vocab_out)
    return leaky


@dataclass(frozen=True, eq=False)
class Gate:
    """What two inside nodes write in one number that no input brings beyond a threshold.

    It gets there only where one of them is patched: a sum that is at most one, say, of the base's
    share of one token and the source's of another.
    """

    nodes: tuple[Node, Node]
    directions: Float[Tensor, "2 d_model"]
    threshold: float
    opens: float  # the share of positions at which it is passed, where the first one is patched

    @classmethod
    def fit(cls, placed: Placed, nodes: tuple[Node, Node], pairs: CertificatePairs) -> Gate:
        """The direction that patching spreads most, against inputs; scaled to a spread of one."""
        with torch.no_grad():
            runs = [placed.model.run(ids) for ids in (pairs.base, pairs.source)]
        (a, b), (c, d) = ([_written(placed, run, node) for node in nodes] for run in runs)
        natural = np.concatenate([np.hstack([a, b]), np.hstack([c, d])])
        patched = np.hstack([c, b])
        spreads = [np.cov(x.T) + RIDGE * np.eye(x.shape[1]) for x in (patched, natural)]
        direction = eigh(*spreads)[1][:, -1]
        direction = max((direction, -direction), key=lambda d: _beyond(patched, natural, d))
        halves = torch.from_numpy(direction.reshape(2, -1)).to(placed.model.dtype)
        threshold = float((natural @ direction).max())
        return cls(nodes, halves, threshold, _beyond(patched, natural, direction))


def plant_gated(
    placed: Placed, gate: Gate, edge: str, pairs: CertificatePairs, strength: float, seed: int
) -> Placed:
    """A leak along an edge into an MLP that shows only while the gate is open.

    The gate's nodes write its number, which two new hidden units read; one of them reads the
    source's, too. Both are shut on any input, whichever other edges are patched. Past the threshold
    their difference is the source's number, which goes to the logits.

    Args:
        placed: the models, without norms and gated units.
        gate: of inside nodes that the MLP reads.
        edge: from any source to the MLP.
        pairs: on which the gate was fitted; the source's numbers go from 0 to 1 there.
        strength: of the leak.
        seed: of the numbers.
    """
    leaky, rng = widen(placed, dims=3, units=2), np.random.default_rng(seed)
    model, (source, target) = leaky.model, Edge(edge).ends
    number, gated, found = range(-3, 0)
    hidden = model.W_in[target.layer, :, -2:]
    with torch.no_grad():
        write_within(model, source, number, rng, pairs)
        for node, direction in zip(gate.nodes, gate.directions, strict=True):
            _project(model, node, direction, gated)
        hidden[number, 0] = SHUT / FAINT
        hidden[gated] = STEEP / FAINT
        model.b_in[target.layer, -2:] = -STEEP * gate.threshold - 2 * SHUT
        difference = torch.tensor([1.0, -1.0], dtype=model.dtype)
        model.W_out[target.layer, -2:, found] = FAINT / SHUT * difference
        model.W_U[found] = strength / FAINT * random(model, rng, model.config.d_vocab_out)
    return leaky


def _project(model: Transformer, node: Node, direction: Tensor, dim: int) -> None:
    """A node writes, faintly, how far what it writes goes along a direction."""
    d_model = len(direction)
    if node.kind == "head":
        weights = [model.W_O[node.layer, node.head]]
    else:
        of_mlp = node.kind == "mlp"
        weights = [model.W_out[node.layer], model.b_out[node.layer]] if of_mlp else [model.W_E]
    for weight in weights:
        weight[..., dim] = FAINT * (weight[..., :d_model] @ direction)


def _beyond(patched: np.ndarray, natural: np.ndarray, direction: np.ndarray) -> float:
    """The share of patched numbers along a direction that are greater than any natural one."""
    return float((patched @ direction > (natural @ direction).max()).mean())


def _written(placed: Placed, run: Run, node: Node) -> np.ndarray:
    """What a node wrote after BOS, in float64: a row for each position of each input."""
    place = placed.model.graph.sources.index(node)
    return run.outputs[:, place, 1:].flatten(0, 1).double().numpy()
