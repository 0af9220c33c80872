"""How much two modalities' circuits overlap, beside what random circuits of their sizes do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import InputError
from knowncircuits.evaluation.modalities.nodes import KINDS, NodeCircuit
from knowncircuits.evaluation.modalities.positions import (
    CLASSES,
    PositionClasses,
    PositionMapping,
    map_positions,
)

if TYPE_CHECKING:
    import pandas as pd

SPREAD = 60  # standard deviations about the mean, beyond which no probability is left


@takes(first=NodeCircuit, second=NodeCircuit, classes=[PositionClasses])
def circuit_overlap(
    first: NodeCircuit,
    second: NodeCircuit,
    classes: tuple[PositionClasses, PositionClasses],
    mapping: PositionMapping | None = None,
    names: tuple[str, str] = ("first", "second"),
) -> pd.DataFrame:
    """The overlap of two circuits, heads and neurons apart, in each class of positions and in all.

    Nikankin et al. (2025), "Same Task, Different Circuits": the circuit of one prompt is mapped to
    the other's positions, a node to each that stands for its own, and I is the intersection over
    the union there. Since the mapping is many to many, the two directions differ. B is what I is on
    average if the other circuit were as many random nodes at these positions; exact here, drawn
    once in the study. (I - B) / (1 - B) is 0 for chance and 1 for the same circuit.

    Args:
        first: the circuit of the one modality.
        second: of the other.
        classes: the classes of their positions.
        mapping: from the first's to the second's positions; by default `map_positions`.
        names: what the two are called in the column `direction`.

    Returns:
        A row for each direction, class (`all` beside) and kind: the sizes of the mapped circuit and
        of the other one, how many nodes there are, overlap, baseline and normalised. NaN where both
        are empty, and normalised where both have all nodes.

    Raises:
        InputError, GraphError: for a mapping or classes of other prompts.
    """
    import pandas as pd

    if len(classes) != 2 or len(names) != 2:
        raise InputError(
            f"expected classes and names of two prompts, got {len(classes)} and {len(names)}"
        )
    mapping = mapping or map_positions(*classes)
    there = zip(classes, (first, second), (mapping.n_from, mapping.n_to), strict=True)
    for own, circuit, n in there:
        if not own.n_positions == circuit.n_positions == n:
            raise InputError(
                f"expected classes and a mapping of {circuit.n_positions} positions, got "
                f"{own.n_positions} and {n}"
            )
    rows = []
    ways = (
        (first, second, mapping, classes[1], " -> ".join(names)),
        (second, first, mapping.reversed(), classes[0], " -> ".join(names[::-1])),
    )
    for mine, theirs, way, target, direction in ways:
        moved = mine.mapped(way)
        for name in (*CLASSES, "all"):
            positions = range(target.n_positions) if name == "all" else target.of(name)
            for kind in KINDS:
                a, b = (circuit.of(kind)[:, list(positions)] for circuit in (moved, theirs))
                rows.append((direction, name, kind, *_compared(a, b)))
    columns = ["direction", "class", "kind", "mapped", "other", "nodes"]
    return pd.DataFrame(rows, columns=[*columns, "overlap", "baseline", "normalised"])


def _compared(a: np.ndarray, b: np.ndarray) -> tuple[int, int, int, float, float, float]:
    n_a, n_b = int(a.sum()), int(b.sum())
    union = int((a | b).sum())
    overlap = int((a & b).sum()) / union if union else np.nan
    baseline = expected_overlap(a.size, n_a, n_b)
    normalised = (overlap - baseline) / (1 - baseline) if baseline < 1 else np.nan
    return n_a, n_b, a.size, overlap, baseline, normalised


def expected_overlap(n: int, a: int, b: int) -> float:
    """The mean intersection over union of a set and a random one, of `a` and `b` out of `n` things.

    The intersection x is hypergeometric: the sum over all x of P(x) x / (a + b - x). NaN for two
    empty sets. Raises InputError for sets larger than what they are of.
    """
    if not (0 <= a <= n and 0 <= b <= n):
        raise InputError(f"expected sets of 0 to {n} things, got {a} and {b}")
    if a + b == 0:
        return float(np.nan)
    mean = a * b / n
    deviation = np.sqrt(mean * (1 - a / n) * (n - b) / max(1, n - 1))
    least = max(0, a + b - n, int(mean - SPREAD * deviation) - SPREAD)
    most = min(a, b, int(mean + SPREAD * deviation) + SPREAD)
    x = np.arange(least, most + 1, dtype=float)
    log = _choose(a, x) + _choose(n - a, b - x) - _choose(n, np.array([float(b)]))
    return float(np.exp(log) @ (x / (a + b - x)))


def _choose(n: int, k: np.ndarray) -> np.ndarray:
    """The logarithm of the binomial coefficient."""
    found: np.ndarray = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found
