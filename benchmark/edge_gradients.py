"""The gradient of a metric at what every destination reads, in one pass without a mask.

Where all that read a source read the same of it, there is one residual stream, and the pass forward
is an ordinary one. Only on the way back are the readers told apart: each destination has a gradient
of its own, and their sum goes on. No more than one group of destinations is in memory at a time.

Nothing of the stream's gradient is left to autograd: every part of the model (a layer's attention,
its MLP, the end) is recorded on its own, and they are walked back one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.errors import ModelError
from knowncircuits.graph import Block, Graph
from knowncircuits.inference import recorded_gradients
from knowncircuits.names import QKV
from knowncircuits.transformer import Transformer

Stream = Float[Tensor, "row seq d_model"]
# From the stream at the end to what is to be differentiated.
Loss = Callable[[Stream], Float[Tensor, ""]]
# Takes the gradients of a block's destinations, [destination, row, seq, d_model], as they come.
Reader = Callable[[Block, Float[Tensor, "destination row seq d_model"]], None]


def walk_back(
    model: Transformer,
    stream: Stream,
    loss: Loss,
    reader: Reader,
    rules: BackwardRules = PLAIN,
    *,
    layer: int = 0,
) -> None:
    """Run the model from a residual stream on, and hand over every destination's gradient.

    Args:
        model: the model.
        stream: what is read by a layer's heads, such as the sum of what the inputs write.
        loss: what is differentiated, of the final stream: it unembeds what it looks at.
        reader: is called for each block of the graph behind, from the last to the first.
        rules: how gradients are handed on.
        layer: whose heads read the stream first.

    Memory, beyond what `reader` keeps: about 10 numbers of d_model for each layer, row and position
    where the MLP is four times as wide, and six for each head of one layer.

    Raises ModelError for a dropped layer, which no run from a stream can have.
    """
    if rules.dropped_layer is not None:
        raise ModelError("expected rules without a dropped layer to walk back from one stream")
    attentions: list[_Attention] = []
    mlps: list[_MLP] = []
    with recorded_gradients():
        for number in range(layer, model.config.n_layers):
            attentions.append(_Attention(model, stream, number, rules))
            stream = attentions[-1].after
            if model.config.d_mlp:
                mlps.append(_MLP(model, stream, number, rules))
                stream = mlps[-1].after
        end = stream.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(end), end)
    blocks = [*model.graph.blocks]
    reader(blocks.pop(), gradient[None])
    while attentions:
        if mlps:
            own = mlps.pop().back(gradient)
            reader(blocks.pop(), own[None])
            gradient = gradient + own
        behind = gradient
        for heads in attentions.pop().back(behind):
            reader(blocks.pop(), heads)
            gradient = gradient + heads.sum(0)


class _MLP:
    """A layer's MLP, recorded."""

    def __init__(
        self, model: Transformer, stream: Stream, layer: int, rules: BackwardRules
    ) -> None:
        self._read = stream.requires_grad_()
        self._out = model.mlp(self._read, layer, rules)
        self.after = (stream + self._out).detach()

    def back(self, gradient: Stream) -> Stream:
        """The gradient of what is read, from that of what is written."""
        return torch.autograd.grad(self._out, self._read, gradient)[0]


class _Attention:
    """A layer's heads, recorded from their queries, keys and values on."""

    def __init__(
        self, model: Transformer, stream: Stream, layer: int, rules: BackwardRules
    ) -> None:
        self._model, self._stream, self._layer, self._rules = model, stream.detach(), layer, rules
        with torch.no_grad():
            projected = model.project(model.norm(stream, layer), layer)
        self._projected = projected.requires_grad_()
        q, k, v = model.rotate(self._projected)
        mixed = model.mixed(q, k, v, rules)
        # All heads in one product: what each writes is not asked for.
        self._out = mixed.transpose(1, 2).flatten(2) @ model.W_O[layer].flatten(0, 1)
        self.after = (stream + self._out + model.b_O[layer]).detach()

    def back(self, gradient: Stream) -> Iterator[Float[Tensor, "head row seq d_model"]]:
        """The gradients of what the heads' v, k and q read, in this order."""
        model, layer = self._model, self._layer
        (projected,) = torch.autograd.grad(self._out, self._projected, gradient)
        for letter in reversed(range(len(QKV))):
            read = self._stream.expand(model.config.n_heads, *self._stream.shape)
            with recorded_gradients():
                normed = model.norm(read.requires_grad_(), layer, self._rules)
            weights = model.W_QKV[layer, letter].detach().transpose(1, 2)
            behind = projected[letter].transpose(0, 1).flatten(1, 2) @ weights
            yield torch.autograd.grad(normed, read, behind.reshape(read.shape))[0]


class EdgeProducts:
    """For each edge, its destination's gradient times what its source changes: a reader.

    Rows are runs of the pairs, one run of all after another; what is said of a pair is their sum.
    """

    def __init__(self, graph: Graph, differences: Float[Tensor, "pair source seq d_model"]) -> None:
        """`differences`: by how much what each source writes is to change."""
        self._differences = differences.detach().flatten(2)
        self.by_pair = self._differences.new_zeros(len(differences), graph.n_edges)

    def __call__(
        self, block: Block, gradients: Float[Tensor, "destination row seq d_model"]
    ) -> None:
        """Take the gradients of a block's destinations, at the rows' positions."""
        n_pairs = len(self._differences)
        of_pairs = gradients.reshape(len(gradients), -1, n_pairs, *gradients.shape[2:]).sum(1)
        sources = self._differences[:, : block.n_sources].transpose(1, 2)
        products = of_pairs.transpose(0, 1).flatten(2) @ sources
        self.by_pair[:, block.start : block.stop] += products.flatten(1)
