"""Where heads attend: patterns, and what is written of what is attended to."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from knowncircuits.checks.arguments import expect
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.components.attending import Attention
from knowncircuits.evaluation.figures import theme as look

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

COLUMNS, PANEL = 4, 230  # panels of a row, and pixels of one
LOOKS = ("circle", "diamond-open", "square", "x-thin-open", "triangle-up", "star-open")
PALETTE = ("#2468b0", "#c23b3b", "#2b9380", "#8a6d3b", "#7b4ea3", "#56616f")


def attention_figure(
    attention: Attention,
    *,
    only: Sequence[str] | None = None,
    pair: int | None = None,
    tokens: Sequence[str] | None = None,
    theme: str = "default",
    title: str = "",
) -> go.Figure:
    """Attention patterns of heads, a panel each: queries downwards, keys to the right.

    Args:
        attention: of `kc.attention`.
        only: heads by name; by default all that it has, at most 16.
        pair: one input alone; by default the mean over all.
        tokens: what stands at each position; by default their numbers, from 0 at BOS.
        theme: `default` or `colourblind`.
        title: by default it names the task.

    Raises:
        ResultError: for heads, a pair or tokens that do not fit.
        UnknownNameError: for another theme.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    expect(attention, Attention, "attention")
    colours = look.load_theme(theme)
    n_pairs, _, seq, _ = attention.patterns.shape
    nodes = [str(node) for node in attention.nodes if only is None or node in only][:16]
    if not nodes or (pair is not None and not 0 <= pair < n_pairs):
        there = f"{', '.join(attention.nodes)} on {n_pairs} pairs"
        raise ResultError(f"expected heads and a pair of {there}, got {only} and {pair}")
    if tokens is not None and len(tokens) != seq:
        raise ResultError(f"expected {seq} tokens, got {len(tokens)}")
    names = [str(p) if p else "BOS" for p in range(seq)] if tokens is None else [*tokens]
    patterns = attention.patterns if pair is None else attention.patterns[pair : pair + 1]
    n_columns = min(COLUMNS, len(nodes))
    n_rows = ceil(len(nodes) / n_columns)
    figure = make_subplots(
        n_rows, n_columns, subplot_titles=nodes, vertical_spacing=0.3 / n_rows if n_rows > 1 else 0
    )
    for i, node in enumerate(nodes):
        values = patterns[:, [str(n) for n in attention.nodes].index(node)].double().mean(0)
        hover = f"<b>{node}</b>: %{{customdata}}<br>attention %{{z:.3f}}<extra></extra>"
        figure.add_trace(
            go.Heatmap(
                z=values.cpu().numpy(),
                customdata=[[f"{q} to {k}" for k in names] for q in names],
                hovertemplate=hover,
                coloraxis="coloraxis",
                xgap=1,
                ygap=1,
            ),
            i // n_columns + 1,
            i % n_columns + 1,
        )
    figure.update_annotations(font_size=13)
    ticks = {"tickvals": list(range(seq)), "ticktext": names, "showgrid": False, "zeroline": False}
    figure.update_xaxes(**ticks, tickangle=-90)
    figure.update_yaxes(**ticks, autorange="reversed")
    figure.update_xaxes(title="key", row=n_rows)
    figure.update_yaxes(title="query", col=1)
    figure.update_layout(
        coloraxis={
            "colorscale": look.plotly_scale(colours),
            "cmin": 0,
            "cmax": 1,
            "colorbar": look.colour_bar() | {"title": {"text": "attention"}},
        }
    )
    whose = f"mean of {n_pairs} inputs" if pair is None else f"input {pair}"
    return look.dress(
        figure,
        title or f"Attention patterns of {attention.task}",
        f"share of each query's attention; {whose}",
        height=130 + (PANEL + 30) * n_rows,
        width=140 + (PANEL + 20) * n_columns,
        margin={"l": 70, "r": 20, "t": 100, "b": 70},
    )


def attention_output_figure(
    frame: pd.DataFrame, *, n: int = 6, theme: str = "default", title: str = ""
) -> go.Figure:
    """What heads write of a token's logit, by how much they attend to it: a panel for each head.

    Args:
        frame: of `kc.attention_output`.
        n: of so many heads: those that write most.
        theme: `default` or `colourblind`.
        title: by default it names the task.

    Raises:
        ResultError: for a frame without these columns or rows.
        UnknownNameError: for another theme.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    look.load_theme(theme)
    look.expect_frame(frame)
    columns = {"node", "key", "attention", "output"}
    if frame.empty or not columns <= {*frame.columns}:
        raise ResultError(
            "expected a frame of attention_output with at least one row, got "
            f"{len(frame)} rows of {', '.join(map(str, frame.columns))}"
        )
    sizes = frame["output"].abs().groupby(frame["node"], sort=False).mean()
    largest = set(sizes.sort_values(ascending=False, kind="stable").index[:n])
    nodes = [node for node in frame["node"].unique() if node in largest]
    n_columns = min(3, len(nodes))
    n_rows = ceil(len(nodes) / n_columns)
    figure = make_subplots(
        n_rows, n_columns, subplot_titles=nodes, shared_yaxes="all", shared_xaxes="all"
    )
    figure.update_annotations(font_size=13)
    for i, node in enumerate(nodes):
        for j, key in enumerate(frame["key"].unique()):
            dots = frame[(frame["node"] == node) & (frame["key"] == key)]
            figure.add_trace(
                go.Scatter(
                    x=dots["attention"],
                    y=dots["output"],
                    mode="markers",
                    name=str(key),
                    legendgroup=str(key),
                    showlegend=not i,
                    marker={
                        "symbol": LOOKS[j % len(LOOKS)],
                        "color": PALETTE[j % len(PALETTE)],
                        "size": 7,
                        "opacity": 0.7,
                        "line": {"width": 1, "color": PALETTE[j % len(PALETTE)]},
                    },
                    customdata=dots["pair"],
                    hovertemplate=(
                        f"<b>{node}</b> to {key}, pair %{{customdata}}<br>attention %{{x:.3f}}"
                        "<br>output %{y:.3f}<extra></extra>"
                    ),
                ),
                i // n_columns + 1,
                i % n_columns + 1,
            )
    figure.update_xaxes(range=[-0.05, 1.05], zeroline=False, gridcolor="#eeeeee")
    figure.update_yaxes(gridcolor="#eeeeee", zeroline=True, zerolinecolor="#999999")
    figure.update_xaxes(title="attention", row=n_rows)
    figure.update_yaxes(title="output", col=1)
    more = f"; the {len(nodes)} heads of {len(sizes)} that write most" if len(sizes) > n else ""
    return look.dress(
        figure,
        title or f"Output against attention of {frame.attrs.get('task', 'a model')}",
        f"part of the logit of the token that is attended to; a dot for each input{more}",
        height=160 + 240 * n_rows,
        legend_at=62,
        width=max(560, 120 + 280 * n_columns),
        margin={"l": 70, "r": 20, "t": 130, "b": 60},
    )
