"""The variables of side circuits in a run, under any interchange."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.training.side_circuits import Join, draw_side_circuits
from knowncircuits.names import EMBED, POS

SHARPNESS = 2.0  # of a head's scores, whose queries and keys have variance 1
CURVE = 1.5  # of an MLP's inputs before it joins them
LEAST = 1e-3  # spread below which a signal is a constant

Signals = Float[Tensor, "pair pos source"]


@dataclass(frozen=True)
class _Layer:
    """The heads, or the MLP, of one layer that have a variable; places in the low-level graph."""

    nodes: list[int]
    sources: Int[Tensor, "read node"]
    edges: Int[Tensor, "read node"]
    join: Join | None


class SideSignals:
    """One signal for each source of a low-level model; those of idle nodes are zero.

    Signals have mean 0 and variance 1 on the inputs that they are scaled by. A token's and a
    position's are signs, as many of one as of the other; of a circuit's node a random direction of
    what the compiled model's node writes.
    """

    def __init__(
        self, placed: Placed, share: float, seed: int, inputs: Int[Tensor, "input pos"]
    ) -> None:
        """Draw side circuits for a share of the outside nodes, and scale signals by some inputs.

        Raises ModelError where there is no node to work, or none inside to be as loud as.
        """
        self.placed = placed
        rng = np.random.default_rng(seed)
        graph, high = placed.correspondence.low, placed.correspondence.high.graph
        places = {node: i for i, node in enumerate(graph.sources)}
        inside = {low: high_node for high_node, low in placed.correspondence.nodes.items()}
        self.sides = draw_side_circuits(graph, [*inside], share, rng)
        self.nodes = [places[side.node] for side in self.sides]
        # Those inside, as places among the sources of either graph.
        self.inside = [places[n] for n in graph.sources if n in inside and n.depth >= 0]
        if not (self.nodes and self.inside):
            raise ModelError(
                f"expected heads or MLPs inside the circuit of {placed.compiled.name} and outside, "
                f"got {len(self.inside)} inside and {len(self.nodes)} outside that are to have work"
            )
        self._high = [high.sources.index(inside[graph.sources[i]]) for i in self.inside]
        model, device = placed.model, inputs.device

        def as_tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(device, model.dtype)

        self._places = places
        self._of_tokens = as_tensor(_signs(rng, model.config.d_vocab))
        self._of_positions = as_tensor(_signs(rng, model.config.n_ctx)) if POS in places else None
        width = placed.compiled.model.config.d_model
        self._directions = as_tensor(rng.normal(size=(len(self.inside), width)))
        self._layers = []
        for depth in sorted({side.node.depth for side in self.sides}):
            group = [side for side in self.sides if side.node.depth == depth]
            reads = [[places[source] for source in side.sources] for side in group]
            edges = [[graph.index(edge) for edge in side.edges] for side in group]
            self._layers.append(
                _Layer(
                    nodes=[places[side.node] for side in group],
                    sources=torch.tensor(reads, device=device).T,
                    edges=torch.tensor(edges, device=device).T,
                    join=group[0].join,
                )
            )
        self._scales: dict[int, tuple[Tensor, Tensor]] = {}  # means and spreads
        with torch.no_grad():
            self(inputs, placed.compiled.model.run(inputs).outputs)

    def __call__(
        self,
        tokens: Int[Tensor, "pair pos"],
        high: Float[Tensor, "pair high_source pos high_model"],
        other: Signals | None = None,
        mask: Float[Tensor, "pair low_edge"] | None = None,
    ) -> Signals:
        """The signals of a run.

        Args:
            tokens: ids that it is on.
            high: what the compiled model's nodes write in the same run.
            other: signals of the run that edges read instead.
            mask: how far each edge does.
        """
        batch, seq = tokens.shape
        found = [high.new_zeros(batch, seq)] * len(self._places)
        found[self._places[EMBED]] = self._of_tokens[tokens]
        if self._of_positions is not None:
            found[self._places[POS]] = self._of_positions[:seq].expand(batch, seq)
        views = torch.einsum("bspd,sd->sbp", high[:, self._high], self._directions)
        for place, view in zip(self.inside, views, strict=True):
            found[place] = self._scaled(place, view)

        def read(sources: Tensor, edges: Tensor) -> Float[Tensor, "pair pos node"]:
            own = torch.stack([found[i] for i in sources.tolist()], -1)
            if mask is None or other is None:
                return own
            return own + mask[:, None, edges] * (other[:, :, sources] - own)

        for layer in self._layers:
            reads = [read(*ends) for ends in zip(layer.sources, layer.edges, strict=True)]
            values = self._attended(*reads) if layer.join is None else _joined(layer.join, *reads)
            for place, value in zip(layer.nodes, values.unbind(-1), strict=True):
                found[place] = self._scaled(place, value)
        return torch.stack(found, -1)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "pair pos node"]:
        """The mean of values over keys that are like the query: soft, as heads are."""
        scores = SHARPNESS * torch.einsum("bqh,bkh->bhqk", q, k)
        if self.placed.model.config.causal:
            seq = q.shape[1]
            scores = scores.masked_fill(self.placed.model.future[:seq, :seq], float("-inf"))
        return torch.einsum("bhqk,bkh->bqh", scores.softmax(-1), v)

    def _scaled(self, place: int, values: Float[Tensor, "pair pos"]) -> Float[Tensor, "pair pos"]:
        """Scale values to mean 0 and variance 1 after BOS, on the first inputs that are seen."""
        if place not in self._scales:
            std, mean = torch.std_mean(values[:, 1:])
            self._scales[place] = mean, std.clamp(min=LEAST)
        mean, std = self._scales[place]
        return (values - mean) / std


def _joined(join: Join, a: Tensor, b: Tensor) -> Tensor:
    """What an MLP makes of two signals."""
    a, b = (CURVE * a).tanh(), (CURVE * b).tanh()
    if join == "product":
        return a * b
    return (1 + a) * (1 + b) / 2 - 1 if join == "and" else 1 - (1 - a) * (1 - b) / 2


def _signs(rng: np.random.Generator, n: int) -> Float[np.ndarray, " value"]:
    """A sign for each of n values, as many of one as of the other."""
    return rng.permutation(np.resize([-1.0, 1.0], n))
