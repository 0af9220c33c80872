"""How often edges of a name are inside in other models: scores that know no more of a model."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from jaxtyping import Float

from knowncircuits.cases.experiments.registry import hard_cases
from knowncircuits.cases.registry import list_cases, load_case
from knowncircuits.circuit import Circuit, Label
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph


def name_prior(task: Task) -> Float[np.ndarray, " edge"]:
    """How often an edge of this name is in, in the compiled models of the other cases.

    Of a level of the hard suite those are the levels of other experiments; of any other model the
    cases of other families, by the task's name. See `name_scores`.

    Args:
        task: its name and its graph.
    """
    suite = "hard" if task.name in hard_cases() else "all"
    known = _compiled_circuits(suite)
    family = load_case(task.name).family if task.name in known else None
    others = [found for name, found in known.items() if load_case(name).family != family]
    return name_scores(task.graph, others)


@cache
def _compiled_circuits(suite: str) -> dict[str, Circuit]:
    """Those of a suite's cases, which take seconds to compile."""
    return {name: load_case(name).compile().circuit for name in list_cases(suite)}


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
