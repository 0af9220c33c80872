"""How hard models are, in rows, and how hard all of them are together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean, median
from typing import Any

from knowncircuits.evaluation.hardness.measuring import CHEAP, Hardness
from knowncircuits.evaluation.hardness.stored import NAMES, Measured, Model

SCORES = (*CHEAP, NAMES)
# How the numbers of several models are put together: those of any size by the median.
TOGETHER: dict[str, Callable[[Iterable[float]], float]] = {
    "spread": median,
    "living_edges": fmean,
    "gap": median,
    "middle": fmean,
}


def describe(found: Hardness) -> dict[str, Any]:
    """A row of numbers; `alive`, `read` and `readable` are counts of nodes.

    Each cheap score `NAME` has `NAME, AUROC` and `NAME, AP`, and the same between circuit nodes.
    """
    row: dict[str, Any] = {
        "outside_nodes": found.outside_nodes,
        "alive": len(found.alive),
        "readable": found.readable,
        "read": len(found.read),
        **{name: getattr(found, name) for name in TOGETHER},
        "smallest_inside": found.smallest_inside,
        "largest_outside": found.largest_outside,
        "best_cheap": found.best_cheap,
    }
    for name in SCORES:
        for view, where in (("edge", ""), ("circuit-nodes", " between circuit nodes")):
            areas = found.cheap[name][view]
            row[f"{name}, AUROC{where}"] = areas.auroc
            row[f"{name}, AP{where}"] = areas.average_precision
    return row


def describe_all(measured: Mapping[Model, Measured]) -> list[dict[str, Any]]:
    """A row for each model."""
    return [
        {"case": case, "variant": variant, **describe(found.hardness)}
        for (case, variant), found in measured.items()
    ]


def summarise(rows: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """Medians of spreads and gaps, means of the other shares and areas, over rows that have them.

    Living, read and readable nodes are not told: their numbers depend on models' sizes.
    """
    rows = list(rows)
    names = [*TOGETHER, "best_cheap"]
    names += [name for name in (rows[0] if rows else {}) if ", A" in name]
    found: dict[str, float | None] = {}
    for name in names:
        values = [row[name] for row in rows if row[name] is not None]
        found[name] = TOGETHER.get(name, fmean)(values) if values else None
    return found
