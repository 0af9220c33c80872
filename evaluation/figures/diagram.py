"""Ribbons, nodes and layers of a Sankey diagram as a plotly figure whose unit is the pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.kinds import (
    MEMBERS,
    MISSED,
    OF_RUNS,
    SIGNS,
    STYLES,
    Ribbon,
    paint,
)
from knowncircuits.evaluation.figures.ribbons import Layout, Sizes, arrange
from knowncircuits.graph import Graph
from knowncircuits.names import Node

if TYPE_CHECKING:
    import plotly.graph_objects as go

HORIZONTAL = Sizes(thickness=58, gap=74, least=24)
VERTICAL = Sizes(thickness=24, gap=58, least=60)
MANY = 60  # ribbons from which on lanes lie closer
THIN = 5.0  # pixels up to which a dashed ribbon is a dashed line
LEAST_WIDTH = 760  # of the page, in pixels
TOP, SIDE, BOTTOM = 122, 24, 20  # beside the diagrams
BETWEEN = 60  # the diagrams of two positions
LETTER = 7.5  # of a position's name, at most
LAYERS, NAMES = 26, 26  # for the names of layers, and of positions
BAND = "#f6f6f4"


@dataclass(frozen=True)
class Frame:
    """From along and across to x and y."""

    vertical: bool
    offset: float = 0.0  # across

    def points(self, along: Sequence[float], across: Sequence[float]) -> dict[str, list[float]]:
        """As plotly takes them."""
        a = [round(x, 1) for x in along]
        b = [round(x + self.offset, 1) for x in across]
        return {"x": b, "y": a} if self.vertical else {"x": a, "y": [-x for x in b]}


def draw_diagrams(
    graph: Graph,
    ribbons: Sequence[Ribbon],
    title: str,
    small: str,
    theme: str,
    *,
    vertical: bool,
    names: Mapping[int, str],
    aligned: bool = False,
) -> go.Figure:
    """A diagram for each position that is named or has ribbons, all in the same columns.

    Args:
        graph: of the edges.
        ribbons: at least one.
        title: in large.
        small: the line under it.
        theme: a name.
        vertical: inputs at the bottom, not left.
        names: of positions, beside their diagrams, with those that have no ribbons; none where
            there is one diagram alone.
        aligned: a column for every layer of the graph, not for those alone that have a node.
    """
    import plotly.graph_objects as go

    sizes = VERTICAL if vertical else HORIZONTAL
    if len(ribbons) > MANY:
        sizes = replace(sizes, lane_gap=1.0)
    ends = [node for ribbon in ribbons for node in ribbon.edge.ends]
    shown = graph.nodes if aligned else (*ends, graph.nodes[0], graph.nodes[-1])
    columns = sorted({graph.depth(node) for node in shown})
    figure, offset = go.Figure(), 0.0
    for position in sorted({ribbon.position for ribbon in ribbons} | set(names)):
        some = [ribbon for ribbon in ribbons if ribbon.position == position]
        layout = arrange(graph, {r.edge: r.width for r in some}, columns, sizes)
        frame = Frame(vertical, offset)
        for ribbon in sorted(some, key=lambda r: (r.kind == "true", -r.width)):  # thin ones on top
            figure.add_trace(_draw_ribbon(ribbon, layout, frame, theme))
        for trace in _draw_nodes(some, layout, frame) if some else ():
            figure.add_trace(trace)
        name = names.get(position, "")
        if name:
            _name(figure, frame, name if some else f"{name} <i>(nothing)</i>")
        room = LETTER * (len(name) + len(" (nothing)") * (not some)) * vertical
        offset += max(layout.extent, room) + BETWEEN
    _add_layers(figure, columns, sizes, offset - BETWEEN, vertical)
    _add_legend(figure, ribbons, theme)
    length = len(columns) * (sizes.thickness + sizes.gap) - sizes.gap
    extent = offset - BETWEEN
    return _fit(figure, length, extent, title, small, vertical=vertical, named=bool(names))


def draw_nothing(title: str, small: str) -> go.Figure:
    """A page that says that there is no edge to draw."""
    import plotly.graph_objects as go

    figure = go.Figure().update_xaxes(visible=False).update_yaxes(visible=False)
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    figure.add_annotation(text="no edge to draw", showarrow=False, **place)
    return look.dress(figure, title, small, height=240, width=LEAST_WIDTH)


def _draw_ribbon(ribbon: Ribbon, layout: Layout, frame: Frame, theme: str) -> go.Scatter:
    import plotly.graph_objects as go

    line, half, style = layout.lines[ribbon.edge], ribbon.width / 2, STYLES[ribbon.kind]
    along, across = [a for a, _ in line], [b for _, b in line]
    colour = ribbon.colour(theme)
    drawn = paint(ribbon.kind, colour)
    if ribbon.width < THIN and style.dash != "solid":
        stroke = {"color": colour, "width": ribbon.width, "dash": style.dash}
        drawn = {"mode": "lines", "line": stroke, "hoveron": "points"}
    else:
        across = [*(b - half for b in across), *(b + half for b in across[::-1])]
        along = [*along, *along[::-1]]
    return go.Scatter(
        **frame.points(along, across),
        **drawn,
        name=ribbon.edge,
        text="<br>".join(filter(None, (f"<b>{ribbon.edge}</b>", ribbon.amount, style.words))),
        hoverinfo="text",
        showlegend=False,
    )


def _draw_nodes(ribbons: Sequence[Ribbon], layout: Layout, frame: Frame) -> list[go.Scatter]:
    """A box for each node, and all names on top."""
    import plotly.graph_objects as go

    traces, middles = [], []
    for node, box in layout.boxes.items():
        (a, b), (c, d) = box.along, box.across
        traces.append(
            go.Scatter(
                **frame.points([a, b, b, a, a], [c, c, d, d, c]),
                mode="lines",
                fill="toself",
                fillcolor="white",
                line={"color": look.INK, "width": 1.2},
                name=node,
                text=_sums(node, ribbons),
                hoveron="fills",
                hoverinfo="text",
                showlegend=False,
            )
        )
        middles.append(((a + b) / 2, (c + d) / 2))
    traces.append(
        go.Scatter(
            **frame.points([a for a, _ in middles], [b for _, b in middles]),
            mode="text",
            text=list(layout.boxes),
            textfont={"size": 12, "color": look.INK},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    return traces


def _sums(node: Node, ribbons: Sequence[Ribbon]) -> str:
    """A node's name with what goes in, by destination, and out; lengths do not add up."""
    if any(ribbon.kind in OF_RUNS for ribbon in ribbons):
        return f"<b>{node}</b>"
    into: dict[str, float] = {}
    out = 0.0
    for ribbon in ribbons:
        source, destination = ribbon.edge.source, ribbon.edge.destination
        if destination.node == node:
            into[destination] = into.get(destination, 0.0) + ribbon.value
        out += ribbon.value * (source == node)
    lines = [f"<b>{node}</b>", *(f"into {name}: {value:.4g}" for name, value in into.items())]
    return "<br>".join([*lines, f"out: {out:.4g}"] if node.kind != "logits" else lines)


def _name(figure: go.Figure, frame: Frame, name: str) -> None:
    (x,), (y,) = frame.points([0.0], [0.0]).values()
    figure.add_annotation(
        x=x,
        y=y,
        text=f"<b>{name}</b>",
        showarrow=False,
        align="left",
        xanchor="left",
        yanchor="top" if frame.vertical else "bottom",
        yshift=-12 if frame.vertical else 8,
    )


def _add_layers(
    figure: go.Figure, columns: Sequence[float], sizes: Sizes, extent: float, vertical: bool
) -> None:
    """A band behind the heads and the MLP of each layer, with the layer's name."""
    pitch, margin = sizes.thickness + sizes.gap, sizes.gap * 0.3
    layers = sorted({int(depth) for depth in columns if 0 <= depth < float("inf")})
    for layer in layers:
        inside = [i for i, depth in enumerate(columns) if depth // 1 == layer]
        start, stop = inside[0] * pitch - margin, inside[-1] * pitch + sizes.thickness + margin
        ends = Frame(vertical).points([start, stop], [-16.0 - LAYERS, extent + 16.0])
        (x0, x1), (y0, y1) = ends.values()
        figure.add_shape(
            type="rect", x0=x0, x1=x1, y0=y0, y1=y1, fillcolor=BAND, line_width=0, layer="below"
        )
        figure.add_annotation(
            x=x0 if vertical else (x0 + x1) / 2,
            y=(y0 + y1) / 2 if vertical else y0,
            text=f"layer {layer}",
            font={"size": 11, "color": "#767676"},
            textangle=-90 if vertical else 0,
            showarrow=False,
            xanchor="left" if vertical else "center",
            yanchor="middle" if vertical else "top",
        )


def _add_legend(figure: go.Figure, ribbons: Sequence[Ribbon], theme: str) -> None:
    """What colours and patterns mean, with how many edges there are of each."""
    signs = [r.value < 0 for r in ribbons if r.kind not in ("missed", *MEMBERS, *OF_RUNS)]
    for negative, word in ((False, "positive"), (True, "negative")):
        if negative in signs:
            colour = SIGNS[theme][int(negative)]
            _add_entry(figure, f"{word} score ({signs.count(negative)})", paint("score", colour))
    for kind, style in STYLES.items():
        n = sum(ribbon.kind == kind for ribbon in ribbons)
        if n and style.name:
            grey = MISSED if kind != "patched" else SIGNS[theme][1]
            _add_entry(figure, f"{style.name} ({n})", paint(kind, grey))


def _add_entry(figure: go.Figure, name: str, painted: dict[str, Any]) -> None:
    import plotly.graph_objects as go

    figure.add_trace(go.Scatter(x=[None], y=[None], name=name, hoverinfo="skip", **painted))


def _fit(
    figure: go.Figure,
    length: float,
    extent: float,
    title: str,
    small: str,
    *,
    vertical: bool,
    named: bool,
) -> go.Figure:
    """Axes and margins so that a unit is a pixel, with the diagrams in the middle of the page."""
    before, behind = 16.0 + LAYERS, 16.0  # across
    if vertical:
        below = 4 + NAMES * named
        width, x, y = extent + before + behind, [-before, extent + behind], [-below, length + 4]
    else:
        width, x, y = length + 8, [-4, length + 4], [-extent - behind, before]
    spare = max(0.0, LEAST_WIDTH - 2 * SIDE - width) / 2
    figure.update_xaxes(range=[x[0] - spare, x[1] + spare], visible=False)
    figure.update_yaxes(range=y, visible=False)
    height = y[1] - y[0]
    return look.dress(
        figure,
        title,
        small,
        height=round(height + TOP + BOTTOM),
        legend_at=66,
        width=round(width + 2 * spare + 2 * SIDE),
        margin={"l": SIDE, "r": SIDE, "t": TOP, "b": BOTTOM, "pad": 0},
        hovermode="closest",
        hoverdistance=5,
    )
