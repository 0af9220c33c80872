"""The nodes or edges that are ablated, and whether each is in the circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from knowncircuits.circuit import Circuit, Granularity, projection
from knowncircuits.errors import UnknownNameError
from knowncircuits.graph import Graph


@dataclass(frozen=True)
class Item:
    """A node or an edge."""

    name: str
    kind: str
    layer: int
    source: int  # the node's place in the graph's sources
    edge: int | None = None


def list_items(graph: Graph, granularity: str, names: Sequence[str] | None) -> list[Item]:
    """What is patched: in the graph's order, or in that of the names."""
    found: dict[str, Item]
    if granularity == "edge":
        ends = enumerate(zip(graph.edges, graph.source_of_edge.tolist(), strict=True))
        found = {
            name: Item(name, "edge", graph.sources[source].layer, source, place)
            for place, (name, source) in ends
        }
    else:
        found = {
            str(node): Item(str(node), node.kind, node.layer, place)
            for place, node in enumerate(graph.sources)
            if granularity == "node" or node.kind == "head"
        }
    for name in names or ():
        if name not in found:
            raise UnknownNameError(granularity, name, found)
    return [found[name] for name in (found if names is None else names)]


def statuses(graph: Graph, circuit: Circuit | None, granularity: str) -> dict[str, str]:
    """The label of every node or edge, in words; unknown where there is no circuit."""
    view: Granularity = "edge" if granularity == "edge" else "node"
    if circuit is None:
        return dict.fromkeys(projection(graph, view).names, "unknown")
    return {name: label.name.lower() for name, label in circuit.project(view).items()}
