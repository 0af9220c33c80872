"""Side circuits: what the nodes outside a circuit compute, so that they are not idle.

Each outside node gets a variable of its own, drawn by a seed: a head the mean of one signal over
the keys whose second signal is like the query's third, an MLP a product, a conjunction or a
disjunction of two signals. Signals are copies of tokens and positions, what the circuit's nodes
write, and the variables of other outside nodes. So these are circuits too, known like the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np

from knowncircuits.graph import Graph
from knowncircuits.names import QKV, Destination, Edge, Node

Join = Literal["product", "and", "or"]
JOINS: tuple[Join, ...] = ("product", "and", "or")


@dataclass(frozen=True)
class SideNode:
    """An outside node and the sources that its variable is made of."""

    node: Node
    sources: tuple[Node, ...]  # of a head those of its query, key and value; of an MLP two
    join: Join | None = None  # of an MLP

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges along which it reads them."""
        letters = QKV if self.node.kind == "head" else ("", "")
        return tuple(
            Edge.between(source, Destination.of(self.node, letter))
            for source, letter in zip(self.sources, letters, strict=True)
        )


def draw_side_circuits(
    graph: Graph, inside: Sequence[str], share: float, rng: np.random.Generator
) -> tuple[SideNode, ...]:
    """A variable for a share of the nodes that are not inside, in the order of the graph.

    A node reads earlier ones; those that nobody reads yet come first, so that each is read if any
    node comes after it.

    Args:
        graph: of the low-level model.
        inside: the nodes of the circuit, which are read like others but get no variable.
        share: of the outside heads and MLPs, from 0 to 1.
        rng: draws them.
    """
    hidden = [node for node in graph.sources if node.kind in ("head", "mlp")]
    outside = [node for node in hidden if node not in inside]
    chosen = rng.permutation(len(outside))[: round(share * len(outside))]
    working = {outside[i] for i in chosen}
    signals = [n for n in graph.sources if n in working or n not in outside]
    drawn: list[SideNode] = []
    for node in (n for n in signals if n in working):
        read = set(chain.from_iterable(side.sources for side in drawn))
        earlier = [n for n in signals if n.depth < node.depth]
        order = [earlier[i] for i in rng.permutation(len(earlier))]
        order.sort(key=lambda n: n in read or n.depth < 0)  # stable: unread ones first
        n_sources = len(QKV) if node.kind == "head" else 2
        sources = [order[i % len(order)] for i in range(n_sources)]
        places = rng.permutation(n_sources)
        join = None if node.kind == "head" else JOINS[rng.integers(len(JOINS))]
        drawn.append(SideNode(node, tuple(sources[i] for i in places), join))
    return tuple(drawn)
