"""`host`: a model set into a larger one, whose other nodes are busy and change no answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.models.interop.tensors import check_sizes
from knowncircuits.models.wired.bases import Seed
from knowncircuits.models.wired.enumeration import SEED
from knowncircuits.models.wired.sizes import set_into
from knowncircuits.models.wired.transformation import transformation
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import Edge, Node
from knowncircuits.transformer import Transformer

KINDS = ("head", "mlp")
INPUTS = 64  # on which busy nodes are brought to the circuit's size
CARRIED = 2  # dimensions of a head beside its own: of queries the first, of keys the second
Size = Annotated[int, Field(ge=1)]
Loudness = Annotated[float, Field(gt=0)]


@transformation()
def host(
    wired: Wired,
    layers: Size,
    heads: Size,
    width: Size = 16,
    units: Size = 16,
    seed: Seed = 0,
    shuffle: bool = True,
    passengers: bool = True,
    loudness: Loudness = 1.0,
) -> Wired:
    """Set the model into a larger one, in which every other head and MLP computes something.

    Busy nodes have random weights. They read the whole residual stream, the circuit's variables
    too, and write into `width` dimensions of their own, as much as the median node of the circuit
    writes or more. What is there is read by other busy nodes, or by none. Busy nodes of an earlier
    host are left out.

    Labels: the circuit's edges as they were, at their new places; all others out. The model
    answers as before under every set of edges, to rounding.

    Args:
        wired: the model.
        layers: how many there are to be, its own among them.
        heads: in each layer, the same.
        width: dimensions of the residual stream for busy nodes.
        units: hidden units of each busy MLP.
        seed: of the weights and the places.
        shuffle: put the circuit at random heads and layers, in an order that it allows.
        passengers: let the circuit's nodes, too, read everything: heads in dimensions beside their
            own, of which queries and keys never meet, MLPs in further hidden units. They write what
            comes of it where busy nodes write, so that weights lead from nearly every edge on.
        loudness: how much busy things are, times what the median node of the circuit writes.

    Raises:
        ModelError: for fewer layers or heads than the model has, or too large a model.
        GraphError: where a shuffled circuit finds no places.
    """
    old = wired.model.config
    if layers < old.n_layers or heads < old.n_heads:
        raise ModelError(
            f"expected at least {old.n_layers} layers and {old.n_heads} heads, got {layers} and "
            f"{heads}"
        )
    config = replace(
        old,
        n_layers=layers,
        n_heads=heads,
        d_model=old.d_model + width,
        d_head=old.d_head + CARRIED * passengers,
    )
    check_sizes(config)
    graph, circuit = Graph(layers, heads), wired.circuit
    shuffled = Correspondence.shuffled(circuit, graph, seed) if shuffle else None
    places = (shuffled or Correspondence.same_names(circuit, graph)).nodes
    images = {str(Edge(edge).placed(places)): of for edge, of in wired.images.items()}
    varying = {"embed", *(places[node] for node in wired.varying & set(places))}
    for node in graph.sources:
        if node.kind in KINDS and (passengers or node not in places.values()):
            varying.add(str(node))
    guest = _Guest(wired, places, passengers, loudness)
    model = guest.set_into(config, units)
    with torch.no_grad():
        guest.fill(model, seed)
        guest.even(model)
    roles = {str(places[node]): role for node, role in wired.roles.items()}
    return replace(wired, model=model, images=images, varying=frozenset(varying), roles=roles)


@dataclass(frozen=True)
class _Guest:
    """A model with its places in a larger one; what it has there of its own comes first."""

    wired: Wired
    places: Mapping[str, str]
    passengers: bool
    loudness: float

    @cached_property
    def own_units(self) -> dict[int, int]:
        """The hidden units of each layer there that are the circuit's."""
        mlps = [(Node(n), Node(place)) for n, place in self.places.items() if Node(n).kind == "mlp"]
        return {place.layer: self.wired.model.hidden[node.layer] for node, place in mlps}

    def set_into(self, config: TransformerConfig, units: int) -> Transformer:
        """The circuit in a larger model whose other weights are zero."""
        own = self.own_units
        busy = [
            units if self.passengers or layer not in own else 0 for layer in range(config.n_layers)
        ]
        hidden = [own.get(layer, 0) + more for layer, more in enumerate(busy)]
        return set_into(self.wired.model, config, self.places, hidden)

    def fill(self, model: Transformer, seed: int) -> None:
        """Random weights for busy nodes, and for passengers in what the circuit's do not use."""
        c, old = model.config, self.wired.model.config
        rng = torch.Generator(device="cpu").manual_seed(seed)

        def draw(weights: Tensor, size: float = 1.0) -> None:
            drawn = torch.randn(weights.shape, generator=rng, dtype=torch.float64, device="cpu")
            weights.copy_(size * drawn)

        def draw_beside(weights: Tensor, start: int, stop: int | None = None) -> None:
            """Columns that read: as much as those before them do, if these do, by their norm."""
            norm, beside = float(weights[:, :start].norm()), weights[:, start:stop]
            size = self.loudness * norm / math.sqrt(max(1, beside.numel()))
            draw(beside, size or c.d_model**-0.5)

        inside = set(self.places.values())
        for layer, head in product(range(c.n_layers), range(c.n_heads)):
            W_Q, W_K, W_V = model.W_QKV[layer, :, head]
            start = old.d_head if Node.of_head(layer, head) in inside else 0
            if start == 0:
                draw_beside(W_Q, 0)
                draw_beside(W_K, 0)
            elif self.passengers:
                draw_beside(W_Q, start, start + 1)
                draw_beside(W_K, start + 1, start + 2)
            draw_beside(W_V, start)
            draw(model.W_O[layer, head, start:, old.d_model :])
        for layer, used in enumerate(model.hidden):
            start = self.own_units.get(layer, 0)
            draw_beside(model.W_in[layer], start, used)
            draw(model.W_out[layer, start:used, old.d_model :])

    def even(self, model: Transformer) -> None:
        """Scale what every node writes in the new dimensions to the circuit's size, in order."""
        ids = self.wired.compiled.draw(INPUTS, SEED)
        spread = self.loudness * _spread_of_circuit(self.wired)
        start = self.wired.model.config.d_model
        for layer, kind in product(range(model.config.n_layers), KINDS):
            outputs = model.run(ids).outputs[..., start:]
            for i, node in enumerate(model.graph.sources):
                if node.kind == kind and node.layer == layer:
                    weights = model.W_O[layer, node.head] if kind == "head" else model.W_out[layer]
                    found = spread_of(outputs[:, i])
                    weights[:, start:] *= spread / found if found else 1.0


def _spread_of_circuit(wired: Wired) -> float:
    """The median over its heads and MLPs; 1 where it has none that varies."""
    model = wired.model
    outputs = model.run(wired.compiled.draw(INPUTS, SEED)).outputs
    places = {node: i for i, node in enumerate(model.graph.sources)}
    nodes = [node for node in wired.circuit.inside_nodes if node.kind in KINDS]
    found = [spread_of(outputs[:, places[node]]) for node in nodes]
    return float(np.median(found)) if any(found) else 1.0


def spread_of(outputs: Float[Tensor, "input pos d_model"]) -> float:
    """How much a node writes: the root of its total variance over inputs and positions."""
    return float(outputs[:, 1:].flatten(0, 1).var(0).sum().sqrt())
