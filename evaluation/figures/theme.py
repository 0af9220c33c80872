"""What all figures share: colours, dashes and signs by status, words, a clean white page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowncircuits.checks.arguments import expect
from knowncircuits.circuit import Label
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.evaluation.figures.bows import COLOURS
from knowncircuits.names import is_edge

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
INK, PALE = "#222222", "#e5e5e5"

# In the order in which they are drawn: what matters lies on top.
STATUSES = ("unknown", "undetermined", "out", "in")
WORDS = {
    "in": "in the circuit",
    "out": "outside",
    "undetermined": "undetermined",
    "unknown": "circuit not known",
}
# Beside colour, so that every figure reads in greyscale.
DASHES = {"in": "solid", "out": "dash", "undetermined": "dot", "unknown": "solid"}
SYMBOLS = {
    "in": "circle",
    "out": "diamond-open",
    "undetermined": "x-thin-open",
    "unknown": "square",
}
SIGNS = {"in": "●", "out": "◇", "undetermined": "×", "unknown": "■"}


@dataclass(frozen=True)
class Theme:
    """The colours of a set of figures."""

    status: Mapping[str, str]
    scale: tuple[str, ...]  # of effects from 0 to 1, from light to dark
    below: tuple[str, ...]  # of numbers below 0, from light to dark, as far as they go
    above: tuple[str, ...]  # of those above 0
    # Of lines of one status, from the first node to the last; all others have their status' colour.
    families: Mapping[str, tuple[str, ...]]


THEMES = {
    "default": Theme(
        {
            "in": COLOURS[Label.IN],
            "out": COLOURS[Label.OUT],
            "undetermined": COLOURS[Label.UNDETERMINED],
            "unknown": "#56616f",
        },
        ("#e9ebe4", "#c4e0bf", "#7cc3a2", "#2b9380", "#0b5d5e", "#06323f"),
        ("#f4d3c9", "#dd8577", "#c23b3b", "#7d1a26"),
        ("#cfdff0", "#7fa9d6", "#2468b0", "#123e75"),
        {
            "in": ("#5f9a00", "#00835a", "#0079a8", "#3f51b5", "#7b2d8b"),
            "out": ("#c99700", "#d9620f", "#b03a2e"),
        },
    ),
    # Blue and vermilion are told apart with any kind of colour blindness.
    "colourblind": Theme(
        {"in": "#0072B2", "out": "#D55E00", "undetermined": "#999999", "unknown": "#333333"},
        ("#ebebeb", "#c1d6e8", "#80b1d5", "#3480b8", "#0a4f88", "#062747"),
        ("#f9dcc9", "#eb9f70", "#D55E00", "#8a3d00"),
        ("#cce1ef", "#77b1d8", "#0072B2", "#004a74"),
        {"in": ("#4aa5dc", "#0072B2", "#10316b"), "out": ("#d79500", "#D55E00", "#7d3200")},
    ),
}


def load_theme(name: str) -> Theme:
    """The theme of a name; raises UnknownNameError, with the close ones, for another."""
    if name not in THEMES:
        raise UnknownNameError("theme", name, THEMES)
    return THEMES[name]


def expect_frame(frame: object) -> None:
    """Raise ArgumentError for what is no frame."""
    import pandas as pd

    expect(frame, pd.DataFrame, "frame")


def check_frame(frame: pd.DataFrame, *columns: str) -> None:
    """Raise ResultError for a frame that is empty or lacks columns of `causal_effects`."""
    expect_frame(frame)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ResultError(
            f"expected a frame of causal_effects with {', '.join(columns)}; "
            f"missing {', '.join(missing)}"
        )
    if frame.empty:
        raise ResultError("expected a frame of causal_effects with at least one row, got none")


def only(frame: pd.DataFrame, column: str, wanted: object = None) -> pd.DataFrame:
    """The rows of the one value that a column has, or of the one that is wanted.

    Raises ResultError where there are several and none is named, or not the named one.
    """
    there = frame[column].unique().tolist()
    if wanted is None and len(there) == 1:
        return frame
    if wanted not in there:
        got = ", ".join(map(str, there))
        what = f"one {column}" if wanted is None else f"{column} {wanted}"
        raise ResultError(f"expected {what} to draw, got a frame of {got}")
    return frame[frame[column] == wanted]


def at_scale(frame: pd.DataFrame, scale: float | None) -> pd.DataFrame:
    """The rows of a scale: by default 1, the plain ablation, or else the only one."""
    if scale is None and (frame["scale"] == 1).any():
        scale = 1.0
    return only(frame, "scale", scale)


def check_edges(frame: pd.DataFrame) -> None:
    """Raise ResultError for effects that are not of edges, one of each."""
    edges = frame["node"].map(is_edge)
    if not edges.all():
        raise ResultError(
            "expected effects of edges (granularity='edge'), got one of "
            f"{frame.loc[~edges, 'node'].iloc[0]}"
        )
    if frame["node"].duplicated().any():
        raise ResultError("expected one effect of each edge, got several")


def plotly_scale(theme: Theme) -> list[list[object]]:
    """The colours from 0 to 1 as plotly takes them."""
    steps = len(theme.scale) - 1
    return [[i / steps, colour] for i, colour in enumerate(theme.scale)]


def line_colours(lines: Iterable[tuple[str, str]], theme: Theme) -> dict[tuple[str, str], str]:
    """A colour for each node or edge with its status: the hue tells the status, the shade itself.

    Shades follow the order of the lines, so that neighbours in the graph look alike.
    """
    from plotly.colors import sample_colorscale

    found: dict[tuple[str, str], str] = {}
    unique = list(dict.fromkeys(lines))
    for status in STATUSES:
        same = [line for line in unique if line[1] == status]
        family = theme.families.get(status, (theme.status[status],) * 2)
        scale = [[i / (len(family) - 1), colour] for i, colour in enumerate(family)]
        places = [i / max(1, len(same) - 1) for i in range(len(same))]
        found |= dict(zip(same, sample_colorscale(scale, places) if same else (), strict=True))
    return found


NEUTRAL = "#f5f5f2"  # of numbers that are 0


def diverging_scale(theme: Theme) -> list[list[object]]:
    """The colours from below to above 0, which is in the middle, as plotly takes them."""
    colours = [*theme.below[::-1], NEUTRAL, *theme.above]
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def effect_text(frame: pd.DataFrame) -> str:
    """What an effect is, by the metric that `causal_effects` has left in the frame's `attrs`."""
    if frame.attrs.get("metric") == "kl":
        return "effect: KL divergence from base's label, 1 being that of the source's output"
    return "effect: share of changed answers, of those that differ between base and source"


def colour_of(effect: float, theme: Theme) -> str:
    """The colour of an effect; those beyond 0 and 1 have these colours."""
    from plotly.colors import sample_colorscale

    within = min(1.0, max(0.0, effect))
    return str(sample_colorscale(plotly_scale(theme), within)[0])


def colour_bar() -> dict[str, object]:
    """What stands beside a figure that shows effects as colours."""
    return {"title": {"text": "effect"}, "thickness": 14, "outlinewidth": 0, "len": 0.8}


def describe(row: Mapping[str, object]) -> str:
    """A node or an edge in words, with its status, for hovering."""
    kind, layer = row.get("kind", ""), row.get("layer")
    where = f" ({kind}, layer {layer})" if kind in ("head", "mlp") else ""
    return f"<b>{row['node']}</b>{where}, {WORDS[str(row['status'])]}"


def count(row: Mapping[str, object]) -> str:
    """How many answers an effect is made of, where that is known."""
    return f"{row['n_changed']} of {row['n']} answers changed" if "n" in row else ""


def few(names: Sequence[str], most: int = 6) -> str:
    """The names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def dress(
    figure: go.Figure, title: str, small: str, *, height: int, legend_at: int = 0, **layout: object
) -> go.Figure:
    """The page, the title with a line under it that says how to read the figure, the letters.

    Args:
        figure: which is changed.
        title: in large.
        small: the line under it.
        height: in pixels.
        legend_at: how many pixels below the top the legend is; 0 for where it would be.
        layout: what else is plotly's.
    """
    figure.update_layout(
        title={
            "text": f"<b>{title}</b><br><span style='font-size:12px;color:#666666'>{small}</span>",
            "font": {"size": 16},
            "x": 0,
            "xref": "container",
            "y": 1 - 26 / height,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 20},
        },
        template="plotly_white",
        height=height,
        font={"family": FONT, "size": 12, "color": INK},
        hoverlabel={"font": {"family": FONT, "size": 12}, "align": "left"},
    )
    if legend_at:
        legend = {"orientation": "h", "x": 0, "yref": "container", "yanchor": "top"}
        figure.update_layout(legend={**legend, "y": 1 - legend_at / height})
    return figure.update_layout(**layout)
