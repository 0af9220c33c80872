"""Which tasks have truth under sets: those of cases whose pairs have a direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from knowncircuits.cases.case import Case
from knowncircuits.circuit import Circuit, Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.evaluation.task import Task
from knowncircuits.evaluation.truth.enumeration import MAX_EDGES, set_truth
from knowncircuits.models.trained import Trained
from knowncircuits.models.wired.wired import Wired
from knowncircuits.names import Edge, Node
from knowncircuits.sets import SetTruth


def known_sets(subject: Compiled | Trained | Wired, task: Task, pairs: str) -> Circuit:
    """The model's circuit, with the truth under sets on a task's pairs where that is known.

    It is for cases that name a property of their inputs, and circuits that are not too large to
    enumerate. A trained model's is that of the compiled one, under the names that its own edges
    have: its certificate says that it follows it under sets, too. So is a wired model's, if each of
    its edges inside stands for another one; otherwise, where a head was split or units were moved,
    it is enumerated on the wired model itself, without gates.
    """
    compiled = subject if isinstance(subject, Compiled) else subject.compiled
    case, circuit = compiled.case, subject.circuit
    if not isinstance(case, Case) or case.contrast is None:
        return circuit
    if (circuit.labels == Label.IN).sum() > MAX_EDGES:
        return circuit
    if isinstance(subject, Wired) and not (edges := _edges_there(subject)):
        wired = replace(compiled, model=subject.model, circuit=circuit)
        sets = set_truth(wired, task.clean, task.corrupted, pairs)
        return replace(circuit, sets=replace(sets, gates=()))  # nodes may write busy things beside
    inputs = (x.cpu().numpy().tobytes() for x in (task.clean, task.corrupted))
    sets = _enumerated(case, *inputs, tuple(task.clean.shape), pairs)
    if isinstance(subject, Trained):
        sets = of_trained(sets, subject)
    elif isinstance(subject, Wired):
        sets = _of_wired(sets, edges)
    return replace(circuit, sets=sets)


def of_trained(sets: SetTruth, trained: Trained) -> SetTruth:
    """What holds of a compiled model, under the names that a trained one's edges have."""
    nodes = trained.correspondence.nodes
    return sets.renamed(lambda edge: Edge(edge).placed(nodes), lambda node: nodes[Node(node)])


def _edges_there(wired: Wired) -> dict[str, str]:
    """The wired edge of each compiled one that is in; none where that is not one to one."""
    inside = wired.circuit.edges()
    there = {image: str(edge) for edge in inside for image in wired.images[edge]}
    one_to_one = len(there) == len(inside) and set(there) == set(wired.compiled.circuit.edges())
    return there if one_to_one else {}


def _of_wired(sets: SetTruth, edges: Mapping[str, str]) -> SetTruth:
    """What holds of a compiled model, under the names that a wired one's edges have."""
    pairs = [(Edge(there), Edge(here)) for there, here in edges.items()]
    nodes = {there.target: here.target for there, here in pairs}
    return sets.renamed(lambda edge: edges[edge], lambda node: str(nodes[Node(node)]))


@lru_cache(maxsize=64)
def _enumerated(
    case: Case, clean: bytes, corrupted: bytes, shape: tuple[int, ...], pairs: str
) -> SetTruth:
    """The truth of a case's compiled model, in float64 whatever the task's model has."""
    compiled = case.compile()
    ids = [np.frombuffer(x, dtype=np.int64).reshape(shape).copy() for x in (clean, corrupted)]
    return set_truth(compiled, torch.from_numpy(ids[0]), torch.from_numpy(ids[1]), pairs)
