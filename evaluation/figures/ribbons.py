"""Where nodes and ribbons of a Sankey diagram lie: columns by layer, and lanes for long edges.

Everything is in pixels: `along` from inputs to logits, `across` at right angles to that. A ribbon
that passes a column has a lane there, as a node has a box, so that no edge hides behind a node. The
nodes of a column keep the graph's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from knowncircuits.graph import Graph
from knowncircuits.names import Edge, Node

SWEEPS = 6  # over the columns, each of which draws nodes and lanes towards what they are tied to
FIRM = 4.0  # how much less a node gives way than a lane
STEPS = 12  # of a ribbon's curve between two columns
BETWEEN_LETTERS = 3.0  # between the ribbons into a head's q, k and v

Point = tuple[float, float]  # along, across


@dataclass(frozen=True)
class Sizes:
    """How large things are."""

    thickness: float  # of a node, along
    gap: float  # between columns
    least: float  # of a node, across
    node_gap: float = 14.0  # between a node and what is beside it
    lane_gap: float = 3.0  # between two lanes


@dataclass(frozen=True)
class Box:
    """A node: from where to where."""

    along: tuple[float, float]
    across: tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Boxes of nodes, and of each ribbon the middle line; across runs from 0 to `extent`."""

    boxes: Mapping[Node, Box]
    lines: Mapping[Edge, tuple[Point, ...]]
    extent: float


@dataclass
class _Item:
    """A node or a lane in its column."""

    column: int
    size: float
    firm: float
    ties: list[_Item] = field(default_factory=list)  # next to it, in the columns before and behind
    centre: float = 0.0


def arrange(
    graph: Graph, widths: Mapping[Edge, float], columns: Sequence[float], sizes: Sizes
) -> Layout:
    """Lay out edges of these widths, in columns of these depths (see `Graph.depth`)."""
    place = {depth: i for i, depth in enumerate(columns)}
    nodes = {
        node: _Item(place[graph.depth(node)], max(sizes.least, size), FIRM)
        for node, size in _node_sizes(graph, widths).items()
    }
    chains = {edge: _chain(edge, width, nodes) for edge, width in widths.items()}
    rows: list[list[_Item]] = [[] for _ in columns]
    for item in nodes.values():
        rows[item.column].append(item)
    for row in rows:
        _stack(row, [0.0] * len(row), sizes)
    for chain in chains.values():
        for i, lane in enumerate(chain[1:-1], 1):
            lane.centre = np.interp(
                i / (len(chain) - 1), (0, 1), (chain[0].centre, chain[-1].centre)
            )
            rows[lane.column].append(lane)
    for _ in range(SWEEPS):
        for row in rows:
            row.sort(key=lambda item: item.centre)
            wanted = [float(np.mean([tie.centre for tie in item.ties])) for item in row]
            _stack(row, wanted, sizes)
    return _draw(nodes, chains, widths, rows, sizes)


def _node_sizes(graph: Graph, widths: Mapping[Edge, float]) -> dict[Node, float]:
    """What ribbons take at each node that has some, where they leave or where they enter."""
    out, into = dict.fromkeys(graph.nodes, 0.0), dict.fromkeys(graph.nodes, 0.0)
    for edge, width in widths.items():
        out[edge.source] += width
        into[edge.target] += width
    for destination in {edge.destination for edge in widths}:
        into[destination.node] += BETWEEN_LETTERS
    sizes = {node: max(out[node], into[node] - BETWEEN_LETTERS) for node in graph.nodes}
    return {node: size for node, size in sizes.items() if size > 0}


def _chain(edge: Edge, width: float, nodes: Mapping[Node, _Item]) -> list[_Item]:
    """Source, a lane for each column between, target; tied to each other."""
    ends = nodes[edge.source], nodes[edge.target]
    lanes = [_Item(c, width, 1.0) for c in range(ends[0].column + 1, ends[1].column)]
    chain = [ends[0], *lanes, ends[1]]
    for before, behind in pairwise(chain):
        before.ties.append(behind)
        behind.ties.append(before)
    return chain


def _stack(row: Sequence[_Item], wanted: Sequence[float], sizes: Sizes) -> None:
    """Put items, in order, as near as can be to where they want to be without touching."""
    from sklearn.isotonic import isotonic_regression

    if not row:
        return
    steps = [0.0]
    for one, other in pairwise(row):
        both_lanes = one.firm < FIRM and other.firm < FIRM
        gap = sizes.lane_gap if both_lanes else sizes.node_gap
        steps.append((one.size + other.size) / 2 + gap)
    offsets = np.cumsum(steps)
    offsets -= offsets[-1] / 2
    free = isotonic_regression(np.array(wanted) - offsets, sample_weight=[i.firm for i in row])
    for item, centre in zip(row, free + offsets, strict=True):
        item.centre = float(centre)


def _draw(
    nodes: Mapping[Node, _Item],
    chains: Mapping[Edge, Sequence[_Item]],
    widths: Mapping[Edge, float],
    rows: Sequence[Sequence[_Item]],
    sizes: Sizes,
) -> Layout:
    items = [item for row in rows for item in row]
    low = min((i.centre - i.size / 2 for i in items), default=0.0)
    high = max((i.centre + i.size / 2 for i in items), default=0.0)
    for item in items:
        item.centre -= low
    leaves, enters = _ports(nodes, chains, widths)

    def start(item: _Item) -> float:
        return item.column * (sizes.thickness + sizes.gap)

    lines: dict[Edge, tuple[Point, ...]] = {}
    for edge, chain in chains.items():
        line: list[Point] = []
        here = start(chain[0]) + sizes.thickness, leaves[edge]
        for item in chain[1:]:
            across = enters[edge] if item is chain[-1] else item.centre
            line += _curve(here, (start(item), across))
            here = start(item) + sizes.thickness, across
        lines[edge] = tuple(line)
    boxes = {
        node: Box(
            (start(item), start(item) + sizes.thickness),
            (item.centre - item.size / 2, item.centre + item.size / 2),
        )
        for node, item in nodes.items()
    }
    return Layout(boxes, lines, high - low)


def _ports(
    nodes: Mapping[Node, _Item],
    chains: Mapping[Edge, Sequence[_Item]],
    widths: Mapping[Edge, float],
) -> tuple[dict[Edge, float], dict[Edge, float]]:
    """Where each ribbon leaves and enters: sorted by where it comes from; q, k and v apart."""
    leaves: dict[Edge, float] = {}
    enters: dict[Edge, float] = {}
    out: dict[Node, list[tuple[float, Edge]]] = {}
    into: dict[Node, list[tuple[int, float, Edge]]] = {}
    for edge, chain in chains.items():
        lane = "qkv".find(edge.destination.letter)
        out.setdefault(edge.source, []).append((chain[1].centre, edge))
        into.setdefault(edge.target, []).append((lane, chain[-2].centre, edge))
    for node, links in out.items():
        order = [(0, edge) for _, edge in sorted(links, key=lambda link: link[0])]
        _spread(order, nodes[node].centre, widths, leaves)
    for node, arriving in into.items():
        order = [(letter, e) for letter, _, e in sorted(arriving, key=lambda link: link[:2])]
        _spread(order, nodes[node].centre, widths, enters)
    return leaves, enters


def _spread(
    order: Sequence[tuple[int, Edge]],
    centre: float,
    widths: Mapping[Edge, float],
    ports: dict[Edge, float],
) -> None:
    """Ribbons side by side, around the middle of a node."""
    groups = len({letter for letter, _ in order})
    total = sum(widths[edge] for _, edge in order) + BETWEEN_LETTERS * (groups - 1)
    at, last = centre - total / 2, order[0][0]
    for letter, edge in order:
        at += BETWEEN_LETTERS * (letter != last)
        ports[edge] = at + widths[edge] / 2
        at += widths[edge]
        last = letter


def _curve(start: Point, end: Point) -> list[Point]:
    """From one to the other, leaving and arriving straight along."""
    u = np.linspace(0, 1, STEPS + 1)
    rise = 3 * u**2 - 2 * u**3
    along = start[0] + (end[0] - start[0]) * (1.5 * u * (1 - u) + u**3)
    across = start[1] + (end[1] - start[1]) * rise
    return list(zip(along.tolist(), across.tolist(), strict=True))
