"""Scores for next to nothing: what a method must beat before its AUROC means anything.

`truth` and its inverse know the circuit; `read-share`, `spread` and `weights` look at a model, but
patch nothing and take no gradient; `name-prior` knows other circuits, and the others know the
graph alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from knowncircuits.circuit import Circuit, Label
from knowncircuits.evaluation.methods.cheap import read_share, spread, weights
from knowncircuits.evaluation.methods.method import Control, Seed
from knowncircuits.evaluation.methods.names import name_prior
from knowncircuits.graph import Graph

Edges = Float[np.ndarray, " edge"]


def truth(circuit: Circuit) -> Edges:
    """1 for edges that are in, 0 for those that are out: AUROC and average precision 1.

    Undetermined edges, on which nothing is scored, have 1/2. Where it is known which sets of edges
    are enough, the other true edges have 3/4, so that economy and best match are 1 too.
    """
    values = {Label.OUT: 0.0, Label.IN: 1.0, Label.UNDETERMINED: 0.5}
    scores = np.array([values[Label(label)] for label in circuit.labels.tolist()])
    if circuit.sets is not None:
        scores[circuit.labels == Label.IN] = 0.75
        scores[[circuit.graph.index(edge) for edge in circuit.sets.smallest]] = 1.0
    return scores


def inverted_truth(circuit: Circuit) -> Edges:
    """0 for edges that are in, 1 for those that are out: AUROC 0.

    Undetermined edges, on which nothing is scored, have 1/2: all have 1 less their `truth`.
    """
    return 1 - truth(circuit)


def random(graph: Graph, *, seed: Seed = 0) -> Edges:
    """Uniform random scores: AUROC 0.5, average precision at the prevalence, within chance.

    Args:
        graph: says how many edges there are.
        seed: of the scores.
    """
    return np.random.default_rng(seed).uniform(size=graph.n_edges)


def even(graph: Graph) -> Edges:
    """All edges equal: ties count half, so AUROC is exactly the mean over random scores, 0.5.

    Average precision is exactly the prevalence.
    """
    return np.zeros(graph.n_edges)


def depth(graph: Graph) -> Edges:
    """Late edges first: how deep an edge's two ends are together.

    By layers, an MLP half a layer behind its heads, and `logits` behind the last layer.
    """
    sources, destinations = _layers(graph)
    scores: np.ndarray = sources + destinations
    return scores


def shortness(graph: Graph) -> Edges:
    """Short edges first: minus the number of layers that an edge spans.

    By layers, an MLP half a layer behind its heads, and `logits` behind the last layer.
    """
    sources, destinations = _layers(graph)
    scores: np.ndarray = sources - destinations
    return scores


def from_embed(graph: Graph) -> Edges:
    """Every edge out of `embed`, and no other.

    Raises GraphError for a graph without that node.
    """
    scores = np.zeros(graph.n_edges)
    scores[graph.edges_from("embed")] = 1.0
    return scores


# Of a graph, by the names that difficulties are stored under.
BLIND: dict[str, Callable[[Graph], Edges]] = {
    "random": even,
    "depth": depth,
    "shortness": shortness,
    "from_embed": from_embed,
}

CONTROLS: dict[str, Control] = {
    "random": Control(random),
    "truth": Control(truth, sees="truth"),
    "inverted-truth": Control(inverted_truth, sees="truth"),
    "depth": Control(depth),
    "shortness": Control(shortness),
    "from-embed": Control(from_embed),
    "name-prior": Control(name_prior, sees="task"),
    "spread": Control(spread, sees="task"),
    "read-share": Control(read_share, sees="task"),
    "weights": Control(weights, sees="task"),
}


def _layers(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """How deep each edge's source and destination are; `logits` one layer after the last."""
    sources = np.array([graph.depth(node) for node in graph.sources])
    destinations = np.array([graph.depth(d.node) for d in graph.destinations])
    destinations[np.isinf(destinations)] = graph.n_layers
    return sources[graph.source_of_edge], destinations[graph.destination_of_edge]
