"""The circuit, its edges coloured by their effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowncircuits.circuit import Circuit, circuit_of
from knowncircuits.evaluation.figures import theme as look
from knowncircuits.evaluation.figures.bows import Stroke
from knowncircuits.evaluation.figures.drawing import draw_edges

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from knowncircuits.compiler.compiled import Compiled
    from knowncircuits.models.trained import Trained
    from knowncircuits.models.wired.wired import Wired

LEAST = 0.005  # effects from which on an edge is drawn
NUMBERED = 10  # edges up to which each has its effect beside it
THIN, THICK = 1.0, 5.0  # pixels, for no effect and for 1


def circuit_effects_figure(
    circuit: Circuit | Compiled | Trained | Wired,
    frame: pd.DataFrame,
    *,
    ablation: str | None = None,
    scale: float | None = None,
    theme: str = "default",
    least: float = LEAST,
    title: str = "",
) -> go.Figure:
    """The circuit's drawing, with colour and width of an edge for its effect.

    The circuit's edges are solid, others dashed; those without an effect are not drawn, unless they
    are in the circuit.

    Args:
        circuit: the circuit, or a model that has one.
        frame: of `causal_effects` with `granularity="edge"`.
        ablation: which one; may be left out where there is one.
        scale: which one; by default 1, or the only one.
        theme: `default` or `colourblind`.
        least: edges outside the circuit are drawn from this effect on.
        title: by default it names the model.

    Raises:
        ResultError: for a frame that is empty, lacks columns, is not of edges or has not what is
            asked for.
        GraphError: for edges of another graph.
        UnknownNameError: for another theme.
    """
    circuit = circuit_of(circuit)
    graph = circuit.graph
    colours = look.load_theme(theme)
    look.check_frame(frame, "model", "node", "status", "ablation", "scale", "effect")
    frame = look.at_scale(look.only(frame, "ablation", ablation), scale)
    look.check_edges(frame)
    shown = frame[(frame["effect"] >= least) | (frame["status"] == "in")]
    # The strongest lie on top.
    strokes = [
        Stroke(
            graph.edge(graph.index(row["node"])),
            look.colour_of(row["effect"], colours),
            width=THIN + (THICK - THIN) * min(1.0, max(0.0, row["effect"])),
            dash=look.DASHES[row["status"]],
            text=f"{row['effect']:.2f}" if len(shown) <= NUMBERED else "",
            text_colour=look.INK,
            hover=f"{look.WORDS[row['status']]}<br>effect {row['effect']:.3f}",
        )
        for row in shown.sort_values("effect").to_dict("records")
    ]
    figure = draw_edges(circuit, strokes, colours=colours.status)
    _dress_legend(figure, colours, frame)
    row, hidden = frame.iloc[0], len(frame) - len(shown)
    small = f"{row['ablation']}, scale {row['scale']:g}, one edge at a time"
    if hidden:
        small += f"; {hidden} of {len(frame)} edges with effects below {least:g} are not drawn"
    return look.dress(
        figure,
        title or f"Causal effects of the edges of {row['model']}",
        small,
        height=figure.layout.height + 70,
        legend_at=66,
        margin={"l": 20, "r": 20, "t": 96, "b": 20},
    )


def _dress_legend(figure: go.Figure, theme: look.Theme, frame: pd.DataFrame) -> None:
    """What dashes and colours mean."""
    import plotly.graph_objects as go

    counts = frame["status"].value_counts()
    for status in reversed(look.STATUSES):
        if status in counts:
            figure.add_trace(
                go.Scatter(
                    x=[None],
                    y=[None],
                    mode="lines",
                    line={"color": look.INK, "width": 2, "dash": look.DASHES[status]},
                    name=f"{look.WORDS[status]} ({counts[status]})",
                )
            )
    scale = {"colorscale": look.plotly_scale(theme), "cmin": 0, "cmax": 1, "showscale": True}
    figure.add_trace(
        go.Scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"color": [0], "colorbar": look.colour_bar(), **scale},
            showlegend=False,
        )
    )
