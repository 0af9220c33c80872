"""Side circuits: work for the nodes outside the circuit, on which no answer depends.

In a model of ordinary training hardly a node is idle. Here every outside node gets a variable of its
own to write, drawn by a seed: a head the mean of some nodes' signals over the keys that resemble its
query, an MLP a product, a conjunction or a disjunction of two signals. Signals are copies of the
tokens and positions, what the circuit's nodes write, and other outside nodes' variables; each node
is read by others where there are any after it. So these are circuits too, known as the first one
is, and they are trained under the same interchanges: where an edge into an outside node reads the
other input's run, so does its variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.correspondence import FIXED
from knowncircuits.graph import Graph
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.training.readout import unexplained
from knowncircuits.names import EMBED, POS, QKV, Destination, Edge, Node

SIGNALS = 1  # that each node writes
SHARPNESS = 2.0  # of a head's scores; signals have variance 1
CURVE = 1.5  # of an MLP's inputs before it joins them
# What the spread of an outside node's writes is to reach, of the median inside node's.
SPREAD = 0.8
TINY = 1e-6

Signals = Float[Tensor, "pair pos source signal"]


@dataclass(frozen=True)
class Heads:
    """A layer's outside heads and what they read: for each of q, k and v a source, an edge."""

    nodes: Int[Tensor, " head"]  # places among the graph's sources
    sources: Int[Tensor, "3 head"]
    edges: Int[Tensor, "3 head"]
    query: Int[Tensor, " head"]  # which signal of its source
    key: Int[Tensor, " head"]


@dataclass(frozen=True)
class Joint:
    """An outside MLP: how it joins the signals of two sources."""

    node: int
    sources: Int[Tensor, "2"]
    edges: Int[Tensor, "2"]
    kinds: tuple[int, ...]  # for each signal: 0 a product, 1 a conjunction, 2 a disjunction


class SideCircuits:
    """The variables of a model's outside nodes, under any interchange."""

    def __init__(
        self,
        placed: Placed,
        seed: int,
        inputs: Int[Tensor, "input pos"],
    ) -> None:
        """Draw what each outside node is to write; scales are those of a few inputs."""
        self.placed, self.low = placed, placed.correspondence.low
        self.causal = placed.model.config.causal
        self.dtype = placed.model.dtype
        rng = np.random.default_rng([seed, 18])
        config, device = placed.model.config, inputs.device
        nodes = placed.correspondence.nodes
        self.inside = {
            self.low.sources.index(low): placed.correspondence.high.graph.sources.index(high)
            for high, low in nodes.items()
            if high not in FIXED
        }
        self.tables = [
            torch.from_numpy(_signs(rng, n)).to(device, self.dtype)
            for n in (config.d_vocab, config.n_ctx)
        ]
        width = placed.compiled.model.config.d_model
        self.views = torch.from_numpy(rng.normal(size=(len(self.inside), width, SIGNALS))).to(
            device, self.dtype
        )
        self.layers = self._draw(rng, device)
        self.nodes = [int(n) for part in self.layers for n in _members(part)]
        # Before scales are known, signals are as they come.
        n_sources = len(self.low.sources)
        self.centre = torch.zeros(n_sources, SIGNALS, device=device, dtype=self.dtype)
        self.scale = torch.ones_like(self.centre)
        self._scaled: set[int] = set()
        with torch.no_grad():
            high = placed.compiled.model.run(inputs)
            self.signals(inputs, high.outputs, None, None, fit=True)

    def _draw(self, rng: np.random.Generator, device: torch.device) -> list[Heads | Joint]:
        """What each outside node reads: nodes that nobody reads yet come first."""
        unread: set[int] = set()
        places = {node: i for i, node in enumerate(self.low.sources)}
        parts: list[Heads | Joint] = []

        def chosen(before: float, n: int) -> list[int]:
            earlier = [i for node, i in places.items() if node.depth < before]
            fresh = [i for i in earlier if i in unread]
            picked = list(rng.permutation(fresh)[:n])
            picked += list(rng.permutation([i for i in earlier if i not in picked])[: n - len(picked)])
            unread.difference_update(picked)
            return [int(i) for i in rng.permutation(np.resize(picked, n))]

        for layer in range(self.low.n_layers):
            heads = [Node.of_head(layer, head) for head in range(self.low.n_heads)]
            heads = [head for head in heads if places[head] not in self.inside]
            if heads:
                sources = np.array([chosen(layer, 3) for _ in heads]).T
                edges = [
                    [
                        self.low.index(
                            Edge.between(self.low.sources[s], Destination.of(head, letter))
                        )
                        for s, head in zip(row, heads, strict=True)
                    ]
                    for row, letter in zip(sources, QKV, strict=True)
                ]
                parts.append(
                    Heads(
                        torch.tensor([places[head] for head in heads], device=device),
                        torch.from_numpy(sources).to(device),
                        torch.tensor(edges, device=device),
                        torch.from_numpy(rng.integers(SIGNALS, size=len(heads))).to(device),
                        torch.from_numpy(rng.integers(SIGNALS, size=len(heads))).to(device),
                    )
                )
                unread |= {places[head] for head in heads}
            unread |= {places[node] for node in self.low.sources if node.layer == layer and node.kind == "head" and places[node] in self.inside}
            mlp = Node.of_mlp(layer)
            if mlp in places and places[mlp] not in self.inside:
                pair = chosen(layer + 0.5, 2)
                edges = [
                    self.low.index(Edge.between(self.low.sources[s], Destination.of(mlp)))
                    for s in pair
                ]
                parts.append(
                    Joint(
                        places[mlp],
                        torch.tensor(pair, device=device),
                        torch.tensor(edges, device=device),
                        tuple(rng.integers(3, size=SIGNALS).tolist()),
                    )
                )
            if mlp in places:
                unread.add(places[mlp])
        return parts

    def signals(
        self,
        tokens: Int[Tensor, "pair pos"],
        high: Float[Tensor, "pair high_source pos high_model"],
        other: Signals | None,
        mask: Float[Tensor, "pair low_edge"] | None,
        *,
        fit: bool = False,
    ) -> Signals:
        """What every source writes in this run, as far as side circuits read it.

        Args:
            tokens: ids of the run.
            high: what the compiled model's nodes write in the same run.
            other: the signals of the run that edges read instead.
            mask: how far each edge does.
        """
        batch, seq = tokens.shape
        found: list[Tensor] = [torch.empty(0)] * len(self.low.sources)

        def put(i: int, values: Tensor) -> None:
            if fit:
                std, mean = torch.std_mean(values.flatten(0, 1), 0)
                self.centre[i], self.scale[i] = mean, 1 / std.clamp(min=1e-3)
            found[i] = (values - self.centre[i]) * self.scale[i]

        places = {node: i for i, node in enumerate(self.low.sources)}
        put(places[EMBED], self.tables[0][tokens])
        if POS in places:
            put(places[POS], self.tables[1][:seq].expand(batch, seq, SIGNALS))
        views = torch.einsum("bspd,sdf->sbpf", high[:, list(self.inside.values())].to(self.dtype), self.views)
        for i, view in zip(self.inside, views, strict=True):
            put(i, view)

        def read(sources: Tensor, edges: Tensor) -> Tensor:
            """[pair, pos, reader, signal]"""
            own = torch.stack([found[i] for i in sources.tolist()], 2)
            if mask is None or other is None:
                return own
            m = mask[:, edges][:, None, :, None]
            return own + m * (other[:, :, sources] - own)

        future = self.placed.model.future[:seq, :seq]
        for part in self.layers:
            if isinstance(part, Heads):
                q, k, v = (read(s, e) for s, e in zip(part.sources, part.edges, strict=True))
                q, k = (
                    x.gather(3, which[None, None, :, None].expand(batch, seq, -1, 1))[..., 0]
                    for x, which in ((q, part.query), (k, part.key))
                )
                scores = SHARPNESS * torch.einsum("bqh,bkh->bhqk", q, k)
                if self.causal:
                    scores = scores.masked_fill(future, float("-inf"))
                values = torch.einsum("bhqk,bkhf->hbqf", scores.softmax(-1), v)
                for i, value in zip(part.nodes.tolist(), values, strict=True):
                    put(i, value)
            else:
                a, b = (CURVE * read(part.sources, part.edges)).tanh().unbind(2)
                joined = (a * b, (1 + a) * (1 + b) / 2 - 1, 1 - (1 - a) * (1 - b) / 2)
                put(part.node, torch.stack([joined[k][..., f] for f, k in enumerate(part.kinds)], -1))
        return torch.stack(found, 2)

    def losses(
        self,
        written: Float[Tensor, "pair source pos d_model"],
        signals: Signals,
    ) -> tuple[Float[Tensor, " node"], Float[Tensor, " node"]]:
        """For each outside node what cannot be read off it, and how far its spread falls short."""
        wanted = signals[:, :, self.nodes].movedim(2, 1)
        left = unexplained(wanted, written[:, self.nodes])
        spread = spread_of(written)
        inside = spread[list(self.inside)].detach().median()
        short = (SPREAD * inside / spread[self.nodes].clamp(min=TINY)).log().relu()
        return left, short**2


def spread_of(written: Float[Tensor, "pair source pos d_model"]) -> Float[Tensor, " source"]:
    """The square root of the variance of what each node writes, over pairs and positions."""
    flat = written.movedim(1, 0).flatten(1, 2)
    centred = flat - flat.mean(1, keepdim=True)
    return (centred.square().sum(2).mean(1) + TINY**2).sqrt()


def _members(part: Heads | Joint) -> Sequence[int]:
    return part.nodes.tolist() if isinstance(part, Heads) else [part.node]


def _signs(rng: np.random.Generator, n: int) -> np.ndarray:
    """For each of n values two signs, as many of one as of the other."""
    return np.stack([rng.permutation(np.resize([-1.0, 1.0], n)) for _ in range(SIGNALS)], 1)
