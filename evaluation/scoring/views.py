"""What is counted when scores meet a circuit: all edges or some of them, heads, nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from knowncircuits.circuit import Circuit, Granularity, Label, projection
from knowncircuits.errors import UnknownNameError


@dataclass(frozen=True, eq=False)
class View:
    """The determined items of a circuit, each of one edge or of several.

    An item of several edges is found with the first of them, so it has the highest rank of any. Its
    undetermined edges do not count: nobody can say whether finding them is right. The more edges an
    item has the higher it ranks by chance, so random scores need not come to 0.5.
    """

    truth: Bool[np.ndarray, " item"]  # whether each is in
    edges: Int[np.ndarray, " member"]  # the items' edges, item by item
    starts: Int[np.ndarray, " item"]  # where in `edges` each item begins
    n_items: int  # with those that are undetermined

    def select(self, rankings: Float[np.ndarray, "*batch edge"]) -> Float[np.ndarray, "*batch _"]:
        """The rank of each item, from that of every edge; higher is more in the circuit."""
        if not self.starts.size:
            return rankings[..., :0]
        highest: np.ndarray = np.maximum.reduceat(rankings[..., self.edges], self.starts, axis=-1)
        return highest


def view_circuit(circuit: Circuit, view: str = "edge") -> View:
    """One of VIEWS of a circuit; raises UnknownNameError for another name."""
    if view not in VIEWS:
        raise UnknownNameError("view", view, VIEWS)
    return VIEWS[view](circuit)


def _projected(granularity: Granularity, circuit: Circuit) -> View:
    items = projection(circuit.graph, granularity)
    return _view(items.item_of_edge, items.labels(circuit.labels), circuit.determined)


def _without_embed(circuit: Circuit) -> View:
    graph = circuit.graph
    others = np.array([node.kind not in ("embed", "input") for node in graph.sources])
    return _of_edges(circuit, others[graph.source_of_edge])


def _between_circuit_nodes(circuit: Circuit) -> View:
    graph, inside = circuit.graph, set(circuit.inside_nodes)
    known = np.array([node in inside for node in graph.nodes])
    return _of_edges(circuit, known[graph.source_of_edge] & graph.feeding(known))


def _of_edges(circuit: Circuit, chosen: Bool[np.ndarray, " edge"]) -> View:
    """Some of the edges, each an item."""
    places = np.cumsum(chosen) - 1
    return _view(places, circuit.labels[chosen], circuit.determined & chosen)


def _view(
    item_of_edge: Int[np.ndarray, " edge"],
    labels: Int8[np.ndarray, " item"],
    counted: Bool[np.ndarray, " edge"],
) -> View:
    """The determined items, of those of their edges that count."""
    determined = labels != Label.UNDETERMINED
    edges = np.flatnonzero(counted)
    edges = edges[determined[item_of_edge[edges]]]
    edges = edges[np.argsort(item_of_edge[edges], kind="stable")]
    sizes = np.bincount(item_of_edge[edges], minlength=len(labels))[determined]
    return View(
        truth=labels[determined] == Label.IN,
        edges=edges,
        starts=np.cumsum(sizes) - sizes,
        n_items=len(labels),
    )


VIEWS: dict[str, Callable[[Circuit], View]] = {
    "edge": lambda circuit: _projected("edge", circuit),
    # Where the tokens are read is easy to see; these are the edges that are left to be found.
    "no-embed": _without_embed,
    # Both ends are known to be in the circuit: is it known what joins them, and how?
    "circuit-nodes": _between_circuit_nodes,
    "head": lambda circuit: _projected("head", circuit),  # q, k and v of a head as one
    "node": lambda circuit: _projected("node", circuit),  # that write, by what leaves them
}
