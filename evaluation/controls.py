"""Scores that look at no model: what a method must beat before its AUROC means anything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from knowncircuits.graph import Graph, destination_node, layer_of

Control = Callable[[Graph], Float[np.ndarray, " edge"]]


def random(graph: Graph) -> Float[np.ndarray, " edge"]:
    """All edges equal: ties count half, so AUROC is exactly the mean over random scores, 0.5."""
    return np.zeros(graph.n_edges)


def depth(graph: Graph) -> Float[np.ndarray, " edge"]:
    """Late edges first: how deep an edge's two ends are together."""
    sources, destinations = _layers(graph)
    scores: np.ndarray = sources + destinations
    return scores


def shortness(graph: Graph) -> Float[np.ndarray, " edge"]:
    """Short edges first: minus the number of layers that an edge spans."""
    sources, destinations = _layers(graph)
    scores: np.ndarray = sources - destinations
    return scores


def from_embed(graph: Graph) -> Float[np.ndarray, " edge"]:
    """Every edge out of `embed`, and no other."""
    scores = np.zeros(graph.n_edges)
    scores[graph.edges_from("embed")] = 1.0
    return scores


CONTROLS: dict[str, Control] = {
    "random": random,
    "depth": depth,
    "shortness": shortness,
    "from_embed": from_embed,
}


def _layers(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """How deep each edge's source and destination are; `logits` one layer after the last."""
    sources = np.array([layer_of(node) for node in graph.sources])
    destinations = np.array([layer_of(destination_node(d)) for d in graph.destinations])
    destinations[np.isinf(destinations)] = graph.n_layers
    return sources[graph.source_of_edge], destinations[graph.destination_of_edge]
