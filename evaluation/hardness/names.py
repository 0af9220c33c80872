"""How often edges of a name are inside in other models: scores that know no more of a model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from knowncircuits.circuit import Circuit, Label
from knowncircuits.graph import Graph


def name_scores(graph: Graph, others: Iterable[Circuit]) -> Float[np.ndarray, " edge"]:
    """The share of other circuits in which an edge of the same name is in.

    Of those in which it is determined, with one more, in which it is not: rare names count less,
    and unseen ones 0.

    Args:
        graph: whose edges are scored.
        others: of other cases.
    """
    inside, determined = np.zeros(graph.n_edges), np.ones(graph.n_edges)
    places = graph.edge_index
    for circuit in others:
        for label in (Label.IN, Label.OUT):
            named = [places[edge] for edge in circuit.edges(label) if edge in places]
            determined[named] += 1
            inside[named] += label == Label.IN
    scores: Float[np.ndarray, " edge"] = inside / determined
    return scores
