"""What figures of components have in common: which numbers, in which words, and what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.components.roles import labels_in
from knowncircuits.evaluation.components.views import telling_column
from knowncircuits.evaluation.figures import theme as look

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Known = Circuit | Mapping[str, Iterable[str]] | None  # a circuit, or nodes by role

# The columns of numbers, in words: the first that a frame has is drawn; see `telling_column`.
WORDS = {
    "lost": "share of the value that is lost",
    "recovered": "share of the value that is recovered",
    "difference": "change of the value",
    "attribution": "part of the logit difference",
    "change": "change of the direct effect",
    "positive": "share of tokens that are copied",
    "value": "value",
}
VIEWS = {
    "z": "z: what heads write",
    "q": "q: what queries read",
    "k": "k: what keys read",
    "v": "v: what values read",
    "pattern": "pattern: where heads attend",
    "mlp": "what MLPs write",
}


@dataclass(frozen=True)
class Mark:
    """A cell or a bar of which something is known."""

    node: str
    view: str
    what: str  # a role, or without one `in the circuit`, or `undetermined`


def number_column(frame: pd.DataFrame, column: str | None, *others: str) -> str:
    """The column that is drawn: this one, or the one of WORDS that tells components apart.

    Raises ResultError for a frame that lacks it or one of the others, or has no rows.
    """
    look.expect_frame(frame)
    found = telling_column(frame, WORDS) if column is None else column
    if frame.empty or found is None or not {found, *others} <= {*frame.columns}:
        wanted = ", ".join([*others, column or f"one of {', '.join(WORDS)}"])
        raise ResultError(
            f"expected a frame of components with {wanted} and at least one row, got {len(frame)} "
            f"rows of {', '.join(map(str, frame.columns))}"
        )
    return found


def views_of(frame: pd.DataFrame) -> list[str]:
    """The views of heads that a frame has, in the order of their rows; "" for a frame of none."""
    heads = frame[frame["kind"] == "head"]
    return [str(view) for view in heads["view"].unique()] if "view" in frame else [""]


def panels(n: int, titles: list[str], **layout: Any) -> go.Figure:
    """A row of panels, with small titles if there are any."""
    from plotly.subplots import make_subplots

    spacing = 0.2 / max(4, 2 * n)
    figure = make_subplots(
        1, n, horizontal_spacing=spacing, subplot_titles=titles if any(titles) else None, **layout
    )
    return figure.update_annotations(font_size=13)


def diverging_axis(colours: look.Theme, column: str, end: float) -> dict[str, Any]:
    """The colours of numbers from -end to end, 0 in the middle."""
    return {
        "colorscale": look.diverging_scale(colours),
        "cmin": -end,
        "cmax": end,
        "colorbar": look.colour_bar() | {"title": {"text": column}},
    }


def with_view(frame: pd.DataFrame, view: str) -> pd.DataFrame:
    """The rows of one view."""
    return frame[frame["view"] == view] if view else frame


def furthest(numbers: Iterable[float]) -> float:
    """How far from 0 numbers lie at most: the ends of a scale that has 0 in its middle."""
    from math import isfinite

    return max((abs(x) for x in numbers if isfinite(x)), default=0.0) or 1.0


def marks(frame: pd.DataFrame, known: Known) -> list[Mark]:
    """What is known of the components of a frame."""
    found = []
    for view in views_of(frame):
        nodes = list(dict.fromkeys(with_view(frame, view)["node"]))
        if isinstance(known, Circuit):
            labels = labels_in(known, frame, view, nodes)
            words = {Label.IN: look.WORDS["in"], Label.UNDETERMINED: look.WORDS["undetermined"]}
            for node, label in labels.items():
                role = known.roles.get(node) if label == Label.IN else None
                if label in words:
                    found.append(Mark(node, view, role or words[label]))
        elif known is not None:
            found += [
                Mark(node, view, role) for role, of in known.items() for node in of if node in nodes
            ]
    return found


def about(frame: pd.DataFrame) -> str:
    """Under the title: the two ends of the scale, and what was patched."""
    attrs: Mapping[Any, Any] = frame.attrs
    if "clean" in attrs:
        way = {
            "noise": "clean runs with a part of the corrupted one",
            "denoise": "corrupted runs with a part of the clean one",
        }[attrs.get("direction", "noise")]
        ends = f"{attrs['metric']}: {attrs['clean']:.3g} clean, {attrs['corrupted']:.3g} corrupted"
        return f"{way}; {ends}; {attrs['n_pairs']} pairs"
    if "lead" in attrs:
        return f"logit difference {attrs['lead']:.3g}; mean of {attrs['n_pairs']} pairs"
    if "ablated" in attrs:
        gone = ", ".join(attrs["ablated"])
        return f"{gone} ablated: logit difference {attrs['before']:.3g}, then {attrs['after']:.3g}"
    return ""
