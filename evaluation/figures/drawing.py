"""A circuit to read and to look at: text for a terminal, a figure for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from knowncircuits.circuit import Circuit, Label
from knowncircuits.evaluation.figures.bows import (
    COLOURS,
    Stroke,
    circuit_strokes,
    drawn_edges,
    label_place,
    lay_out,
)
from knowncircuits.evaluation.figures.pictures import FIGURES, check_ending, save_figure
from knowncircuits.exchange import graph_file, write_graph_file
from knowncircuits.names import Destination, Edge
from knowncircuits.sets import SetTruth

if TYPE_CHECKING:
    import plotly.graph_objects as go

NODE_COLOURS = {label.name.lower(): colour for label, colour in COLOURS.items()}


def circuit_text(circuit: Circuit) -> str:
    """The circuit as lines, destination by destination, with what each edge carries.

    Edges that carry constants alone are marked `?`, and those that matter in company only `+`;
    what is out is only counted. Nodes that have a role are listed with it at the end.
    """
    company = circuit.sets.company if circuit.sets else ()
    into: dict[Destination, list[Edge]] = {}
    for edge in drawn_edges(circuit):
        into.setdefault(edge.destination, []).append(edge)
    lines: list[str] = []
    for destination, shown in into.items():
        lines.append(destination)
        width = max(len(edge.source) for edge in shown)
        for edge in shown:
            mark = "<-" if circuit.label(edge) == Label.IN else "<?"
            mark = "<+" if edge in company else mark
            what = ", ".join(circuit.carries.get(edge, ()))
            lines.append(f"  {mark} {edge.source:{width}}  {what}".rstrip())
    counts = {label: len(circuit.edges(label)) for label in Label}
    lines.append(
        f"{circuit.graph.n_edges} edges: {counts[Label.IN]} in (<-), "
        f"{counts[Label.UNDETERMINED]} undetermined (<? where read), {counts[Label.OUT]} out"
    )
    if circuit.roles:
        width = max(map(len, circuit.roles))
        lines += ["", *(f"{node:{width}}  {role}" for node, role in circuit.roles.items())]
    if circuit.sets:
        lines += _sets_lines(circuit.sets)
    return "\n".join(lines)


def _sets_lines(sets: SetTruth) -> Iterator[str]:
    """What edges do together, on which pairs."""
    counts = f"{len(sets.alone)} in alone, {len(sets.company)} in company (<+)"
    idle = f", {len(sets.idle)} idle: {', '.join(sets.idle)}" if sets.idle else ""
    yield f"\non {sets.n_pairs} {sets.pairs} pairs: {counts}{idle}"
    for gate in sets.gates:
        table = f" {gate.table}" if gate.kind == "table" else ""
        yield f"{gate.node}: {gate.kind}{table} of {', '.join(gate.edges)}"
    yield f"minimal sufficient sets: {len(sets.minimal)}"
    for edges in sets.minimal:
        yield f"  {', '.join(edges) or 'none is needed'}"


def circuit_figure(circuit: Circuit, *, title: str = "") -> go.Figure:
    """The circuit as a plotly figure: inputs at the bottom, logits at the top.

    Edges that are in are drawn solid, with the variables that they carry, and coloured by what they
    feed (q, k, v or all); dotted ones are read but only ever carry constants. Hovering over a node
    or an edge names it.
    """
    figure = draw_edges(circuit, circuit_strokes(circuit), title=title)
    return figure.update_layout(legend_title="feeds ")


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
            hovertext=[_with_role(node, circuit) for node in places],
            hovertemplate="%{hovertext}<extra></extra>",
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


def _with_role(node: str, circuit: Circuit) -> str:
    role = circuit.roles.get(node)
    return f"{node}: {role}" if role else str(node)


def save_circuit(circuit: Circuit, path: Path, *, title: str = "", d_model: int = 0) -> None:
    """Write the circuit as JSON (EAP-IG's format), or its figure as a page or a picture.

    Raises ResultError as `save_figure` does.
    """
    check_ending(path, (".json", *FIGURES))
    if path.suffix == ".json":
        write_graph_file(graph_file(circuit.graph, circuit=circuit, d_model=d_model), path)
    else:
        save_figure(circuit_figure(circuit, title=title), path)
