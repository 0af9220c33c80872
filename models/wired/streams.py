"""What nodes write into the residual stream, what they read of it, and where the two meet."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.names import QKV, Destination, Node
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.transformer import Transformer

SMALL = 1e-9  # a share of the largest that is rounding

Rows = Float[Tensor, "row d_model"]
Columns = Float[Tensor, "d_model column"]


def written(model: Transformer, node: str) -> Rows:
    """Vectors that span all that a node can write, constants too."""
    place = Node(node)
    if place.kind == "embed":
        return model.W_E
    if place.kind == "pos":
        return model.W_pos
    if place.kind == "head":
        W_V, b_V = model.W_QKV[place.layer, 2, place.head], model.b_QKV[place.layer, 2, place.head]
        return torch.cat([W_V, b_V[None]]) @ model.W_O[place.layer, place.head]
    used = model.hidden[place.layer]
    return torch.cat([model.W_out[place.layer, :used], model.b_out[place.layer, None]])


def varied(model: Transformer, node: str, vocabulary: Vocabulary) -> Rows:
    """As `written`, but `embed` only with what differs between inputs: BOS is the same in all."""
    if node != "embed":
        return written(model, node)
    tokens = model.W_E[1 : 1 + len(vocabulary.tokens)]  # BOS first, PAD last
    return tokens - tokens.mean(0)


def read(model: Transformer, destination: str) -> Columns:
    """Vectors along which a destination reads; of a head's values those that it writes on."""
    place = Destination(destination)
    node, letter = place.node, place.letter
    if node.kind == "logits":
        return model.W_U
    if node.kind == "mlp":
        return model.W_in[node.layer, :, : model.hidden[node.layer]]
    matrix = model.W_QKV[node.layer, QKV.index(letter), node.head]
    return matrix @ model.W_O[node.layer, node.head] if letter == "v" else matrix


def meet(rows: Rows, columns: Columns) -> bool:
    """Whether any of the columns reads any of the rows, by more than rounding."""
    if not rows.numel() or not columns.numel():
        return False
    most = rows.norm(dim=1)[:, None] * columns.norm(dim=0)
    return bool(((rows @ columns).abs() > SMALL * most.max()).any())


def directions(model: Transformer) -> int:
    """How many directions of the residual stream are both written and read.

    As many dimensions carry all that goes through the stream; in fewer, directions overlap.
    """
    rows = torch.cat([unit(written(model, node), 1) for node in model.graph.sources])
    columns = torch.cat(
        [unit(read(model, destination), 0) for destination in model.graph.destinations], 1
    )
    values = torch.linalg.svdvals(rows @ columns)
    return int((values > SMALL * values.max()).sum())


def unit(vectors: Tensor, dim: int) -> Tensor:
    """Scale vectors to length 1 along a dimension; zeros stay."""
    norms = vectors.norm(dim=dim, keepdim=True)
    units: Tensor = vectors / norms.where(norms > 0, 1.0)
    return units
