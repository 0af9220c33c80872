"""A circuit to read and to look at: text for a terminal, a figure for a page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from knowncircuits.circuit import Circuit, Label
from knowncircuits.evaluation.figures.pictures import FIGURES, check_ending, save_figure
from knowncircuits.exchange import graph_file, write_graph_file
from knowncircuits.graph import Graph
from knowncircuits.names import Destination, Edge, Node

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = {Label.IN: "#009E73", Label.UNDETERMINED: "#999999", Label.OUT: "#E69F00"}
NODE_COLOURS = {label.name.lower(): colour for label, colour in COLOURS.items()}
QKV_COLOURS = {"q": "#0072B2", "k": "#CC79A7", "v": "#009E73", "": "#444444"}


def circuit_text(circuit: Circuit) -> str:
    """The circuit as lines, destination by destination, with what each edge carries.

    Edges that carry constants alone are marked `?`; what is out is only counted.
    """
    into: dict[Destination, list[Edge]] = {}
    for edge in _shown(circuit):
        into.setdefault(edge.destination, []).append(edge)
    lines: list[str] = []
    for destination, shown in into.items():
        lines.append(destination)
        width = max(len(edge.source) for edge in shown)
        for edge in shown:
            mark = "<-" if circuit.label(edge) == Label.IN else "<?"
            what = ", ".join(circuit.carries.get(edge, ()))
            lines.append(f"  {mark} {edge.source:{width}}  {what}".rstrip())
    counts = {label: len(circuit.edges(label)) for label in Label}
    lines.append(
        f"{circuit.graph.n_edges} edges: {counts[Label.IN]} in (<-), "
        f"{counts[Label.UNDETERMINED]} undetermined (<? where read), {counts[Label.OUT]} out"
    )
    return "\n".join(lines)


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


def circuit_figure(circuit: Circuit, *, title: str = "") -> go.Figure:
    """The circuit as a plotly figure: inputs at the bottom, logits at the top.

    Edges that are in are drawn solid, with the variables that they carry, and coloured by what they
    feed (q, k, v or all); dotted ones are read but only ever carry constants. Hovering over a node
    or an edge names it.
    """
    figure = draw_edges(circuit, circuit_strokes(circuit), title=title)
    return figure.update_layout(legend_title="feeds ")


def circuit_strokes(circuit: Circuit) -> list[Stroke]:
    """How `circuit_figure` draws the edges that are in, and those on which constants are read."""
    strokes = []
    for edge in _shown(circuit):
        carried = ", ".join(circuit.carries.get(edge, ()))
        letter = edge.destination.letter
        if circuit.label(edge) == Label.IN:
            colour, group = QKV_COLOURS[letter], letter or "MLP, logits"
            strokes.append(Stroke(edge, colour, group, text=carried, hover=carried))
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
        start, end = (places[node] for node in stroke.edge.ends)
        lane = "qkv".find(stroke.edge.destination.letter)
        lines.append(_curve(start, end, lane, places.values()))
    members = {node for edge in circuit.edges() for node in edge.ends}
    return Layout(places, tuple(lines), frozenset(members))


def label_place(edge: Edge) -> int:
    """The point of an edge's line at which its text is, so that lanes do not hide each other."""
    return {"q": 8, "k": 16}.get(edge.destination.letter, 12)  # of 24 steps


def draw_edges(
    circuit: Circuit,
    strokes: Sequence[Stroke],
    *,
    title: str = "",
    colours: Mapping[str, str] = NODE_COLOURS,
) -> go.Figure:
    """These edges between their nodes, and no others.

    The frame of a node has the colour of `in` where one of the circuit's edges begins or ends
    there, and that of `undetermined` elsewhere.
    """
    import plotly.graph_objects as go

    layout = lay_out(circuit, strokes)
    places, members = layout.nodes, layout.members
    figure = go.Figure()
    drawn = {""}
    for stroke, (xs, ys) in zip(strokes, layout.lines, strict=True):
        figure.add_trace(
            go.Scatter(
                x=xs,
                y=ys,
                mode="lines",
                line={"color": stroke.colour, "width": stroke.width, "dash": stroke.dash},
                name=stroke.group,
                legendgroup=stroke.group,
                showlegend=stroke.group not in drawn,
                hovertemplate=f"{stroke.edge}<br>{stroke.hover}<extra></extra>",
            )
        )
        drawn.add(stroke.group)
        if stroke.text:
            place = label_place(stroke.edge)
            figure.add_annotation(
                x=xs[place],
                y=ys[place],
                text=stroke.text,
                showarrow=False,
                font={"size": 10, "color": stroke.text_colour or stroke.colour},
                bgcolor="rgba(255, 255, 255, 0.8)",
            )
    figure.add_trace(
        go.Scatter(
            x=[x for x, _ in places.values()],
            y=[y for _, y in places.values()],
            mode="markers+text",
            text=list(places),
            textposition="middle center",
            textfont={"size": 12, "color": "#222222"},
            marker={
                "symbol": "square",
                "size": 46,
                "color": "white",
                "line": {
                    "width": 2,
                    "color": [
                        colours["in" if node in members else "undetermined"] for node in places
                    ],
                },
            },
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    )
    rows = len({y for _, y in places.values()})
    return figure.update_layout(
        title=title,
        template="plotly_white",
        height=140 + 95 * rows,
        margin={"l": 20, "r": 20, "t": 60 if title else 20, "b": 20},
        xaxis={"visible": False, "range": [-0.35, 1.35]},
        yaxis={"visible": False},
        legend={"orientation": "h", "y": -0.02},
    )


def save_circuit(circuit: Circuit, path: Path, *, title: str = "", d_model: int = 0) -> None:
    """Write the circuit as JSON (EAP-IG's format), or its figure as a page or a picture.

    Raises ResultError as `save_figure` does.
    """
    check_ending(path, (".json", *FIGURES))
    if path.suffix == ".json":
        write_graph_file(graph_file(circuit.graph, circuit=circuit, d_model=d_model), path)
    else:
        save_figure(circuit_figure(circuit, title=title), path)


def _shown(circuit: Circuit) -> list[Edge]:
    """The edges that are in or carry something, in the graph's order."""
    shown = circuit.labels == Label.IN
    shown[[circuit.graph.index(edge) for edge in circuit.carries]] = True
    return [circuit.graph.edge(i) for i in np.flatnonzero(shown).tolist()]


def _places(graph: Graph, edges: Iterable[Edge]) -> dict[Node, tuple[float, float]]:
    """A row for each depth that occurs, its nodes spread evenly, next to each other in order."""
    used = {node for edge in edges for node in edge.ends}
    rows: dict[float, list[Node]] = {}
    for node in graph.nodes:
        if node in used or node.kind == "logits":
            rows.setdefault(node.depth, []).append(node)
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
