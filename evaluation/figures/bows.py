"""Where a circuit's nodes and edges are drawn: rows of nodes, and bows that pass beside others.

Figures and the pages of the leaderboard paint the same strokes at these places.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from knowncircuits.circuit import Circuit, Label
from knowncircuits.graph import Graph
from knowncircuits.names import Edge, Node

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = {Label.IN: "#009E73", Label.UNDETERMINED: "#999999", Label.OUT: "#E69F00"}
QKV_COLOURS = {"q": "#0072B2", "k": "#CC79A7", "v": "#009E73", "": "#444444"}

# How far an edge may bow, as parts of the usual, in the order in which they are tried; and how near
# it may come to a node.
BOWS = (1.0, 1.4, -1.0, -1.4, 0.6, -0.6, 1.8, -1.8, 2.2)
CLEARANCE = 0.07


@dataclass(frozen=True)
class Stroke:
    """How one edge is drawn."""

    edge: Edge
    colour: str
    group: str = ""  # its name in the legend, which has each once; "" has none
    width: float = 2
    dash: str = "solid"
    text: str = ""  # beside the edge
    text_colour: str = ""  # by default the edge's
    hover: str = ""  # under the edge's name


def drawn_edges(circuit: Circuit) -> list[Edge]:
    """The edges that are in or carry something, in the graph's order."""
    shown = circuit.labels == Label.IN
    shown[[circuit.graph.index(edge) for edge in circuit.carries]] = True
    return [circuit.graph.edge(i) for i in np.flatnonzero(shown).tolist()]


def circuit_strokes(circuit: Circuit) -> list[Stroke]:
    """How `circuit_figure` draws the edges that are in, and those on which constants are read.

    Those that matter in company only are dashed.
    """
    company = circuit.sets.company if circuit.sets else ()
    strokes = []
    for edge in drawn_edges(circuit):
        carried = ", ".join(circuit.carries.get(edge, ()))
        letter = edge.destination.letter
        if circuit.label(edge) == Label.IN:
            colour, group = QKV_COLOURS[letter], letter or "MLP, logits"
            dash = "dash" if edge in company else "solid"
            strokes.append(Stroke(edge, colour, group, dash=dash, text=carried, hover=carried))
        else:
            look = COLOURS[Label.UNDETERMINED], "constants only", 1, "dot"
            strokes.append(Stroke(edge, *look, hover=carried))
    return strokes


@dataclass(frozen=True)
class Layout:
    """Where nodes and edges are drawn: x from left to right, y upwards, a row of nodes at each."""

    nodes: Mapping[Node, tuple[float, float]]
    lines: tuple[tuple[list[float], list[float]], ...]  # x and y of each stroke
    members: frozenset[Node]  # nodes at which edges of the circuit begin or end


def lay_out(circuit: Circuit, strokes: Sequence[Stroke]) -> Layout:
    """Places for the nodes of these edges, and lines between them that pass beside others."""
    places = _places(circuit.graph, [stroke.edge for stroke in strokes])
    lines = []
    for stroke in strokes:
        start, lane = places[stroke.edge.source], "qkv".find(stroke.edge.destination.letter)
        xs, ys = _curve(start, places[stroke.edge.target], lane, places.values())
        for node in stroke.edge.targets[1:]:  # to each head of a group, and back
            x, y = _curve(start, places[node], lane, places.values())
            xs, ys = [*x, *x[-2::-1], *xs], [*y, *y[-2::-1], *ys]
        lines.append((xs, ys))
    members = {node for edge in circuit.edges() for node in (edge.source, *edge.targets)}
    return Layout(places, tuple(lines), frozenset(members))


def label_place(edge: Edge) -> int:
    """The point of an edge's line at which its text is, so that lanes do not hide each other."""
    return {"q": 8, "k": 16}.get(edge.destination.letter, 12)  # of 24 steps


def _places(graph: Graph, edges: Iterable[Edge]) -> dict[Node, tuple[float, float]]:
    """A row for each depth that occurs, its nodes spread evenly, next to each other in order."""
    used = {node for edge in edges for node in (edge.source, *edge.targets)}
    rows: dict[float, list[Node]] = {}
    for node in graph.nodes:
        if node in used or node.kind == "logits":
            rows.setdefault(graph.depth(node), []).append(node)
    places: dict[Node, tuple[float, float]] = {}
    for y, depth in enumerate(sorted(rows)):
        nodes = rows[depth]
        # Single nodes take turns left and right, and so do rows of heads, of which every other row
        # consists: so that edges do not hide each other, or pass behind nodes.
        offset = 0.25 / (len(nodes) + 1) * (-1) ** (y // 2)
        if len(nodes) == 1:
            offset = 0.14 * (-1) ** y if 0 < y < len(rows) - 1 else 0.0
        for i, node in enumerate(nodes):
            places[node] = ((i + 1) / (len(nodes) + 1) + offset, float(y))
    return places


def _curve(
    start: tuple[float, float],
    end: tuple[float, float],
    lane: int,
    nodes: Collection[tuple[float, float]],
) -> tuple[list[float], list[float]]:
    """A bow from start to end that passes beside the nodes between them, if there is such a bow.

    q, k and v take lanes of their own; long edges bow outwards, and by more.
    """
    (x0, y0), (x1, y1) = start, end
    between = [(x, (y - y0) / (y1 - y0)) for x, y in nodes if y0 < y < y1]
    outwards = 0.05 * (y1 - y0 - 1) * (1 if x0 >= 0.5 else -1)

    def at(t: float, bend: float) -> float:
        return x0 + (x1 - x0) * t + 4 * bend * t * (1 - t)

    bends = [0.03 * (lane - 1) + outwards * factor for factor in BOWS]
    free = (b for b in bends if all(abs(at(t, b) - x) > CLEARANCE for x, t in between))
    bend = next(free, bends[0])
    steps = [i / 24 for i in range(25)]
    return [at(t, bend) for t in steps], [y0 + (y1 - y0) * t for t in steps]
