"""What of a run is left to compute behind a change: later layers, and later positions.

Whoever changes what is written in a layer at a position leaves all that comes before as it was. In
a causal model that is every earlier position, too, of which later ones read but keys and values.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.primitive import Run
from knowncircuits.transformer import Transformer

Behind = Literal["attention", "mlp"]


class Suffixes:
    """Runs of a batch of pairs whose residual stream is changed behind a layer's heads or its MLP.

    What they give is what `Transformer.run` gives under masks of edges out of nodes of that layer,
    to within rounding.
    """

    def __init__(self, model: Transformer, base: Run) -> None:
        """Remember the residual streams, and the queries, keys and values, of an unpatched run.

        Args:
            model: the model.
            base: its run on a batch, one input for each pair.
        """
        self.model, self.outputs = model, base.outputs
        c, n = model.config, len(model.graph.inputs)
        stream = self.outputs[:, :n].sum(1)
        self.before = [stream]  # the stream before each layer
        self._behind: dict[Behind, list[Tensor]] = {"attention": [], "mlp": []}
        for layer in range(c.n_layers):
            stream = stream + self.outputs[:, n : n + c.n_heads].sum(1) + model.b_O[layer]
            n += c.n_heads
            self._behind["attention"].append(stream)
            if c.d_mlp:
                stream = stream + self.outputs[:, n]
                n += 1
            self._behind["mlp"].append(stream)
            self.before.append(stream)

    @cached_property
    def qkv(self) -> list[Float[Tensor, "3 pair head seq d_head"]]:
        """The queries, keys and values of each layer, in the unpatched run."""
        return [
            self.model.qkv(stream, None, layer) for layer, stream in enumerate(self.before[:-1])
        ]

    def logits(
        self,
        change: Float[Tensor, "row some d_model"],
        pairs: Int[Tensor, " row"],
        layer: int,
        behind: Behind = "attention",
        *,
        first: int = 0,
        read: int = 0,
    ) -> Float[Tensor, "row read d_vocab_out"]:
        """The logits of runs whose stream changes behind a layer's heads, or behind its MLP.

        Args:
            change: by how much, at the positions from `first` on: at some of them, or at all.
            pairs: the pair of each row.
            layer: the layer.
            behind: its `attention` or its `mlp`.
            first: 0 in a model that is not causal, where earlier positions see a change, too.
            read: logits are those of the positions from here on, but not of those before `first`.
        """
        model, c = self.model, self.model.config
        stop = first + change.shape[1]  # positions from here on are as in the unpatched run, so far
        stream = self._behind[behind][layer][pairs, first:stop] + change
        if behind == "attention" and c.d_mlp:
            stream = stream + model.mlp(stream, layer)
        for later in range(layer + 1, c.n_layers):
            q, k, v = self._qkv_around(stream, pairs, later, first, stop)
            stream, stop = self._whole(stream, pairs, later, stop), self.outputs.shape[2]
            if later == c.n_layers - 1 and first < read:  # nobody reads what it writes before
                q, stream = q[:, :, read - first :], stream[:, read - first :]
                first = read
            z = model.mixed(q, k, v).transpose(1, 2).flatten(2)
            stream = stream + (z @ model.W_O[later].flatten(0, 1) + model.b_O[later])
            if c.d_mlp:
                stream = stream + model.mlp(stream, later)
        stream = self._whole(stream, pairs, c.n_layers, stop)
        return model.unembed(stream[:, max(read - first, 0) :])

    def _qkv_around(
        self, stream: Tensor, pairs: Tensor, layer: int, first: int, stop: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries from `first` on, keys and values; anew where the stream is given."""
        q, k, v = self.model.qkv(stream, None, layer, first=first)
        own_q, own_k, own_v = self.qkv[layer]
        if stop < self.outputs.shape[2]:
            q = torch.cat([q, own_q[pairs, :, stop:]], 2)
        if q.shape[2] < self.outputs.shape[2] or stop < self.outputs.shape[2]:
            k, v = (
                torch.cat([own[pairs, :, :first], new, own[pairs, :, stop:]], 2)
                for own, new in ((own_k, k), (own_v, v))
            )
        return q, k, v

    def _whole(self, stream: Tensor, pairs: Tensor, layer: int, stop: int) -> Tensor:
        """The stream before a layer, with the positions from `stop` on that have not changed."""
        if stop == self.outputs.shape[2]:
            return stream
        return torch.cat([stream, self.before[layer][pairs, stop:]], 1)
