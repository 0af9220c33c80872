"""A circuit to read and to look at: text for a terminal, a figure for a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import ResultError
from knowncircuits.exchange import graph_file, write_bytes, write_graph_file, write_text
from knowncircuits.graph import Graph, destination_node, layer_of, split_edge

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = {Label.IN: "#009E73", Label.UNDETERMINED: "#999999", Label.OUT: "#E69F00"}
QKV_COLOURS = {"q": "#0072B2", "k": "#CC79A7", "v": "#009E73", "": "#444444"}


def circuit_text(circuit: Circuit) -> str:
    """The circuit as lines, destination by destination, with what each edge carries.

    Edges that carry constants alone are marked `?`; what is out is only counted.
    """
    into: dict[str, list[str]] = {}
    for edge in circuit.graph.edges:
        if circuit.label(edge) == Label.IN or edge in circuit.carries:
            into.setdefault(split_edge(edge)[1], []).append(edge)
    lines = []
    for destination, shown in into.items():
        lines.append(destination)
        width = max(len(split_edge(e)[0]) for e in shown)
        for edge in shown:
            mark = "<-" if circuit.label(edge) == Label.IN else "<?"
            what = ", ".join(circuit.carries.get(edge, ()))
            lines.append(f"  {mark} {split_edge(edge)[0]:{width}}  {what}".rstrip())
    counts = {label: len(circuit.edges(label)) for label in Label}
    lines.append(
        f"{circuit.graph.n_edges} edges: {counts[Label.IN]} in (<-), "
        f"{counts[Label.UNDETERMINED]} undetermined (<? where read), {counts[Label.OUT]} out"
    )
    return "\n".join(lines)


def circuit_figure(circuit: Circuit, *, title: str = "") -> go.Figure:
    """The circuit as a plotly figure: inputs at the bottom, logits at the top.

    Edges that are in are drawn solid, with the variables that they carry, and coloured by what they
    feed (q, k, v or all); dotted ones are read but only ever carry constants. Hovering over a node
    or an edge names it.
    """
    import plotly.graph_objects as go

    shown = [e for e in circuit.graph.edges if circuit.label(e) == Label.IN or e in circuit.carries]
    places = _places(circuit.graph, shown)
    figure = go.Figure()
    drawn: set[tuple[str, bool]] = set()
    for edge in shown:
        source, destination = split_edge(edge)
        kind = destination.partition("<")[2][:1]
        is_in = circuit.label(edge) == Label.IN
        carried = ", ".join(circuit.carries.get(edge, ()))
        xs, ys = _curve(places[source], places[destination_node(destination)], "qkv".find(kind))
        name = f"{kind or 'MLP, logits'}" if is_in else "constants only"
        group = (name, is_in)
        figure.add_trace(
            go.Scatter(
                x=xs,
                y=ys,
                mode="lines",
                line={
                    "color": QKV_COLOURS[kind] if is_in else COLOURS[Label.UNDETERMINED],
                    "width": 2 if is_in else 1,
                    "dash": "solid" if is_in else "dot",
                },
                name=name,
                legendgroup=name,
                showlegend=group not in drawn,
                hovertemplate=f"{edge}<br>{carried}<extra></extra>",
            )
        )
        drawn.add(group)
        if is_in:
            place = {"q": 8, "k": 16}.get(kind, 12)  # of 24 steps: lanes do not hide each other
            figure.add_annotation(
                x=xs[place],
                y=ys[place],
                text=carried,
                showarrow=False,
                font={"size": 10, "color": QKV_COLOURS[kind]},
                bgcolor="rgba(255, 255, 255, 0.8)",
            )
    members = {
        node
        for edge in circuit.edges()
        for node in (split_edge(edge)[0], destination_node(split_edge(edge)[1]))
    }
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
                        COLOURS[Label.IN if node in members else Label.UNDETERMINED]
                        for node in places
                    ],
                },
            },
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    )
    rows = len({y for _, y in places.values()})
    figure.update_layout(
        title=title,
        template="plotly_white",
        height=140 + 95 * rows,
        margin={"l": 20, "r": 20, "t": 60 if title else 20, "b": 20},
        xaxis={"visible": False, "range": [-0.35, 1.35]},
        yaxis={"visible": False},
        legend={"orientation": "h", "y": -0.02, "title": "feeds "},
    )
    return figure


def save_circuit(circuit: Circuit, path: Path, *, title: str = "", d_model: int = 0) -> None:
    """Write the circuit as JSON (EAP-IG's format), or its figure as a page or a picture.

    Raises ResultError for another ending, if the file cannot be written, or if a picture is asked
    for and there is no browser to draw it with.
    """
    kinds = (".json", ".html", ".svg", ".png", ".pdf")
    if path.suffix not in kinds:
        raise ResultError(f"expected a file ending in {', '.join(kinds)}, got {path.name!r}")
    if path.suffix == ".json":
        write_graph_file(graph_file(circuit.graph, circuit=circuit, d_model=d_model), path)
        return
    figure = circuit_figure(circuit, title=title)
    if path.suffix == ".html":
        write_text(path, figure.to_html(include_plotlyjs=True))
        return
    try:
        picture = figure.to_image(format=path.suffix[1:], scale=2)
    except (ValueError, RuntimeError) as error:
        raise ResultError(
            f"drawing {path.name} needs kaleido and a Chrome or Chromium browser "
            "(pip install 'knowncircuits[pictures]'); .html and .json need neither"
        ) from error
    write_bytes(path, picture)


def _places(graph: Graph, edges: Sequence[str]) -> dict[str, tuple[float, float]]:
    """A row for each depth that occurs, its nodes spread evenly, next to each other in order."""
    used = {node for e in edges for node in (split_edge(e)[0], destination_node(split_edge(e)[1]))}
    rows: dict[float, list[str]] = {}
    for node in graph.nodes:
        if node in used or node == "logits":
            rows.setdefault(layer_of(node), []).append(node)
    places: dict[str, tuple[float, float]] = {}
    for y, depth in enumerate(sorted(rows)):
        nodes = rows[depth]
        # Single nodes take turns left and right, so that their edges do not hide each other.
        offset = 0.14 * (-1) ** y if len(nodes) == 1 and 0 < y < len(rows) - 1 else 0.0
        for i, node in enumerate(nodes):
            places[node] = ((i + 1) / (len(nodes) + 1) + offset, float(y))
    return places


def _curve(
    start: tuple[float, float], end: tuple[float, float], lane: int
) -> tuple[list[float], list[float]]:
    """A bow from start to end; q, k and v take lanes of their own, long edges a wider bow."""
    (x0, y0), (x1, y1) = start, end
    bend = 0.03 * (lane - 1 if lane >= 0 else 0) + 0.05 * max(0.0, y1 - y0 - 1) * (
        1 if x0 >= 0.5 else -1
    )
    steps = [i / 24 for i in range(25)]
    xs = [x0 + (x1 - x0) * t + 4 * bend * t * (1 - t) for t in steps]
    return xs, [y0 + (y1 - y0) * t for t in steps]
