"""Where the names of points stand in a figure so that none lies on another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

NARROW, WIDE, HEIGHT = 270.0, 440.0, 320.0  # of a figure on a phone and beside another, in pixels
LETTER, LINE = 6.6, 15.0
MARKER = 6.0  # from a point's middle to where its name may begin
# Plotly's names of places, with the direction from the point; the first ones look best.
PLACES = {
    "top center": (0, 1),
    "bottom center": (0, -1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, 1),
    "top left": (-1, 1),
    "bottom right": (1, -1),
    "bottom left": (-1, -1),
}
Box = tuple[float, float, float, float]  # left, bottom, right, top


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], width: float = NARROW
) -> list[str]:
    """The place of each point's name; empty where there is no room for it.

    Names are placed one after the other, those of points with the fewest free places first.

    Args:
        points: from 0 to 1, as parts of the figure.
        texts: their names.
        width: of the figure, without its margins.
    """
    centres = [(x * width, y * HEIGHT) for x, y in points]
    markers = [(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in centres]
    free = {
        (i, place): box
        for i, place in product(range(len(points)), PLACES)
        if _inside(box := label_box(centres[i], texts[i], place), width)
        and not any(overlap(box, other) for j, other in enumerate(markers) if j != i)
    }
    chosen = [""] * len(points)
    left = set(range(len(points)))
    while left:
        choices = {i: [place for place in PLACES if (i, place) in free] for i in left}
        i = min(left, key=lambda i: (len(choices[i]), i))
        left.remove(i)
        if choices[i]:
            chosen[i] = choices[i][0]
            taken = free[i, chosen[i]]
            free = {key: box for key, box in free.items() if not overlap(box, taken)}
    return chosen


def label_box(centre: tuple[float, float], text: str, place: str) -> Box:
    """What a name covers at a place."""
    (x, y), (right, up) = centre, PLACES[place]
    width = LETTER * len(text)
    left = x - width / 2 + right * (MARKER + width / 2)
    bottom = y - LINE / 2 + up * (MARKER + LINE / 2)
    return left, bottom, left + width, bottom + LINE


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share more than an edge."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def spans(values: Iterable[float], margin: float) -> tuple[float, float]:
    """From the least to the greatest value, with a part of that on each side."""
    values = list(values)
    low, high = min(values), max(values)
    room = margin * (high - low or 1.0)
    return low - room, high + room


def _inside(box: Box, width: float) -> bool:
    """Whether it lies in the figure; it may reach into its margins."""
    return box[0] > -40 and box[2] < width + 20 and box[1] > 0 and box[3] < HEIGHT + 24
