"""Pass 5: the circuit, from what each component reads and who wrote it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from knowncircuits.circuit import Circuit, Label
from knowncircuits.compiler.variables import Component, Read, Variable
from knowncircuits.graph import Graph
from knowncircuits.names import LOGITS, Destination, Edge


def wire(
    graph: Graph, components: Iterable[Component], output: Variable, variables: Iterable[Variable]
) -> Circuit:
    """Label every edge by the variables that it carries.

    In: some variable that varies between inputs is read there, and its value makes a difference.
    Undetermined: only constants are read, or the source writes the same on every input, so that no
    interchange can tell. Out: nothing is read of a source that varies.
    """
    reads = {Destination(LOGITS): [Read(output, True)]}
    for component in components:
        for destination, read in component.reads.items():
            reads.setdefault(destination, []).extend(read)
    varying = {variable.node for variable in variables if variable.varies}
    labels = np.full(graph.n_edges, Label.OUT, dtype=np.int8)
    carries: dict[str, tuple[str, ...]] = {}
    for i, edge in enumerate(map(Edge, graph.edges)):
        source = edge.source
        here = [r for r in reads.get(edge.destination, ()) if r.variable.node == source]
        if here:
            carries[edge] = tuple(dict.fromkeys(r.variable.name for r in here))
        if any(r.variable.varies and r.matters for r in here):
            labels[i] = Label.IN
        elif here or source not in varying:
            labels[i] = Label.UNDETERMINED
    return Circuit(graph, labels, carries)
