"""Small drawings as SVG, which need no script: intervals, strips of cases, circuits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.figures.bows import (
    QKV_COLOURS,
    circuit_strokes,
    label_place,
    lay_out,
)

WIDTH, HEIGHT = 120, 12  # of an interval
CIRCUIT_WIDTH = 640
LETTERS = {colour: letter or "m" for letter, colour in QKV_COLOURS.items()}
# Borders between colours, for AUROC from worse than chance to perfect, and for average precision.
LEVELS = (0.45, 0.6, 0.75, 0.85, 0.95, 0.9995)
PRECISION_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.9995)


def level(value: float, borders: Sequence[float] = LEVELS) -> int:
    """The level of an area from 0 to 6, for its colour; -1 for none."""
    return -1 if math.isnan(value) else sum(value >= border for border in borders)


def interval_svg(value: float, low: float, high: float) -> Markup:
    """A number between 0 and 1 with its interval, if it has one, as in the text beside."""
    if math.isnan(value):
        return Markup("")
    at, between = _place(value) - 1, ""
    if not math.isnan(low):
        a, width = _place(low), max(1.5, _place(high) - _place(low))
        between = f'<rect class="range" x="{a}" y="3" width="{width:.4g}" height="6" rx="2"/>'
    return Markup(
        f'<svg class="interval" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" '
        f'preserveAspectRatio="xMinYMid">'
        f'<path class="axis" d="M2 6H{WIDTH - 2}M{WIDTH // 2} 4v4"/>'
        f'{between}<rect class="value" x="{at:.4g}" y="1" width="2" height="10" rx="1"/></svg>'
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
    strokes = circuit_strokes(circuit)
    layout = lay_out(circuit, strokes)
    top = max([y for _, y in layout.nodes.values()] + [1.0])
    height = 68 + 76 * top

    def at(x: float, y: float) -> tuple[float, float]:
        return round((x + 0.2) / 1.4 * CIRCUIT_WIDTH, 1), round(height - 34 - y * 76, 1)

    lines, notes = [], []
    for stroke, (xs, ys) in zip(strokes, layout.lines, strict=True):
        kind = "c" if stroke.dash == "dot" else LETTERS[stroke.colour]
        points = [at(x, y) for x, y in zip(xs, ys, strict=True)]
        path = " ".join(f"{x},{y}" for x, y in points)
        title = escape(f"{stroke.edge}: {stroke.hover}")
        lines.append(
            f'<polyline class="edge {kind}" points="{path}"><title>{title}</title></polyline>'
        )
        if stroke.text:
            x, y = points[label_place(stroke.edge)]
            notes.append(
                f'<text class="carried {kind}" x="{x}" y="{y}">{escape(stroke.text)}</text>'
            )
    nodes = []
    for node, (x, y) in layout.nodes.items():
        x, y = at(x, y)
        nodes.append(
            f'<g class="node {"in" if node in layout.members else "other"}"><rect '
            f'x="{x - 27:.1f}" y="{y - 15:.1f}" width="54" height="30" rx="6"/>'
            f'<text x="{x}" y="{y}">{node}</text></g>'
        )
    title = escape(f"The circuit of {name}: inputs at the bottom, logits at the top")
    return Markup(
        f'<svg class="circuit" viewBox="0 0 {CIRCUIT_WIDTH} {height:g}" role="img" '
        f'aria-label="{title}"><title>{title}</title>{"".join((*lines, *notes, *nodes))}</svg>'
    )


def _place(value: float) -> float:
    """Where a number from 0 to 1 lies, within the margins."""
    return round(2 + min(1.0, max(0.0, value)) * (WIDTH - 4), 1)


def heat_cell(value: float, *, precision: bool = False) -> Markup:
    """A cell of a table with an area, coloured by how good it is. Not a macro: there are many.

    An AUROC by default, or an average precision.
    """
    if math.isnan(value):
        return Markup('<td class="number heat l-1" data-v="">–</td>')
    shade = level(value, PRECISION_LEVELS if precision else LEVELS)
    return Markup(f'<td class="number heat l{shade}" data-v="{value:.6g}">{value:.3f}</td>')


def number_cell(value: float, text: str | None = None) -> Markup:
    """A cell of a table with a number, and with its text if that is not the usual."""
    if math.isnan(value):
        return Markup('<td class="number" data-v="">–</td>')
    shown = f"{value:.3f}" if text is None else escape(text)
    return Markup(f'<td class="number" data-v="{value:.6g}">{shown}</td>')
