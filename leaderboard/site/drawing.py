"""Small drawings as SVG, which need no script: intervals, strips of cases, circuits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from knowncircuits.circuit import Circuit
from knowncircuits.drawing import QKV_COLOURS, circuit_figure

WIDTH, HEIGHT = 120, 12  # of an interval
# Of AUROC, from worse than chance to perfect, and of average precision.
LEVELS = (0.45, 0.6, 0.75, 0.85, 0.95, 0.9995)
PRECISION_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.9995)


def level(value: float, borders: Sequence[float] = LEVELS) -> int:
    """The level of an area from 0 to 6, for its colour; -1 for none."""
    return -1 if math.isnan(value) else sum(value >= border for border in borders)


def interval_svg(value: float, low: float, high: float) -> Markup:
    """A number between 0 and 1 with its interval; it says nothing that the text beside does not."""
    if math.isnan(value):
        return Markup("")
    a, b, at = _place(low), _place(high), _place(value) - 1
    return Markup(
        f'<svg class="interval" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">'
        f'<path class="axis" d="M2 6H{WIDTH - 2}M{WIDTH // 2} 4v4"/>'
        f'<rect class="range" x="{a}" y="3" width="{max(1.5, b - a):.4g}" height="6" rx="2"/>'
        f'<rect class="value" x="{at:.4g}" y="1" width="2" height="10" rx="1"/></svg>'
    )


def strip_svg(values: Sequence[float]) -> Markup:
    """A cell for each case, coloured by its average precision."""
    if not len(values):
        return Markup("")
    cells: dict[int, list[str]] = {}
    for i, value in enumerate(values):
        cells.setdefault(level(value, PRECISION_LEVELS), []).append(f"M{6 * i} 0h5v14h-5z")
    paths = "".join(f'<path class="l{n}" d="{"".join(cells[n])}"/>' for n in sorted(cells))
    known = [value for value in values if not math.isnan(value)]
    perfect, good = (sum(value >= border for value in known) for border in (0.9995, 0.9))
    text = f"AP of {len(known)} cases: {perfect} of 1, {good} from 0.9 on"
    return Markup(
        f'<svg class="strip" viewBox="0 0 {6 * len(values) - 1} 14" role="img" '
        f'preserveAspectRatio="none" aria-label="{text}"><title>{text}</title>{paths}</svg>'
    )


def circuit_svg(circuit: Circuit, name: str) -> Markup:
    """The drawing of `circuit_figure`, with classes in place of colours; hovering names things."""
    figure = circuit_figure(circuit)
    nodes = figure.data[-1]
    letters = {colour: letter or "m" for letter, colour in QKV_COLOURS.items()}
    width = 640
    height = round(figure.layout.height * 0.8)
    top = max([*nodes.y, 1])

    def x(value: float) -> float:
        return round((value + 0.2) / 1.4 * width, 1)

    def y(value: float) -> float:
        return round(float(height - 34 - value / top * (height - 68)), 1)

    parts = []
    for line in figure.data[:-1]:
        kind = "c" if line.line.dash == "dot" else letters[line.line.color]
        points = " ".join(f"{x(a)},{y(b)}" for a, b in zip(line.x, line.y, strict=True))
        edge, _, carried = line.hovertemplate.removesuffix("<extra></extra>").partition("<br>")
        parts.append(
            f'<polyline class="edge {kind}" points="{points}">'
            f"<title>{escape(edge)}: {escape(carried)}</title></polyline>"
        )
    for note in figure.layout.annotations:
        parts.append(
            f'<text class="carried {letters.get(note.font.color, "m")}" x="{x(note.x)}" '
            f'y="{y(note.y)}">{escape(note.text)}</text>'
        )
    frames = zip(nodes.x, nodes.y, nodes.text, nodes.marker.line.color, strict=True)
    for a, b, text, colour in frames:
        kind = "in" if colour == "#009E73" else "other"
        parts.append(
            f'<g class="node {kind}"><rect x="{x(a) - 27:.1f}" y="{y(b) - 15:.1f}" width="54" '
            f'height="30" rx="6"/><text x="{x(a)}" y="{y(b)}">{escape(text)}</text></g>'
        )
    title = f"The circuit of {name}: inputs at the bottom, logits at the top"
    return Markup(
        f'<svg class="circuit" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _place(value: float) -> float:
    """Where a number from 0 to 1 lies, within the margins."""
    return round(2 + min(1.0, max(0.0, value)) * (WIDTH - 4), 1)
