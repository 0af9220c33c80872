"""Results as a tidy table: a row for each method, model, draw of pairs and view."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from knowncircuits.evaluation.results import COSTS, Result
from knowncircuits.evaluation.scoring.ranking import auroc, average_precision, precision_at
from knowncircuits.evaluation.scoring.scores import Chosen, choose
from knowncircuits.evaluation.scoring.views import VIEWS, View, view_circuit

KEYS = ("method", "case", "variant", "seed")
VALUES = ("auroc", "average_precision", "precision_at_size")
OF_VIEW = ("prevalence", "n_items", "n_determined", "n_true")


def score_results(results: Iterable[Result], views: Sequence[str] = tuple(VIEWS)) -> pd.DataFrame:
    """Score many results at once, those of one circuit in one go.

    Args:
        results: of runs; what counts is their raw scores.
        views: of `VIEWS`.

    Returns:
        Columns method (the label), case, variant, seed, view; auroc, average_precision and
        precision_at_size, NaN where all determined items are of one kind; prevalence, n_items,
        n_determined, n_true; precision, recall and f1 of the method's own circuit where there is a
        threshold; n_pairs, seconds, forward_passes, backward_passes, peak_memory. In the order of
        the results, views last.
    """
    ordered = list(results)
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, result in enumerate(ordered):
        circuit = result.circuit
        groups[circuit.graph, circuit.labels.tobytes()].append(i)
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for places in groups.values():
        group = [ordered[i] for i in places]
        for view in views:
            for i, scored in zip(places, _score_group(group, view), strict=True):
                rows[i, view] = {
                    **_describe(ordered[i]),
                    "view": view,
                    **scored,
                    **_costs(ordered[i]),
                }
    return pd.DataFrame([rows[i, view] for i in range(len(ordered)) for view in views])


def _score_group(group: Sequence[Result], view: str) -> list[dict[str, Any]]:
    """The numbers of results that share a circuit."""
    seen = view_circuit(group[0].circuit, view)
    ranks = seen.select(np.stack([result.scores.ranking for result in group]))
    areas = score_rankings(seen, ranks)
    return [
        {**{name: areas[name][i] for name in areas}, **_chosen(seen, row, result)}
        for i, (row, result) in enumerate(zip(ranks, group, strict=True))
    ]


def score_rankings(view: View, ranks: np.ndarray) -> dict[str, np.ndarray]:
    """VALUES and OF_VIEW of rankings [..., item] of a view's items."""
    n_true, n = int(view.truth.sum()), view.truth.size
    shape = ranks.shape[:-1]
    both = 0 < n_true < n
    at_size = precision_at(view.truth, ranks, n_true) if both else np.full(shape, np.nan)
    found = {
        "auroc": auroc(view.truth, ranks),
        "average_precision": average_precision(view.truth, ranks),
        "precision_at_size": at_size,
    }
    constants = (n_true / n if n else 0.0, view.n_items, n, n_true)
    return found | {
        name: np.full(shape, value) for name, value in zip(OF_VIEW, constants, strict=True)
    }


def _chosen(view: View, ranks: np.ndarray, result: Result) -> dict[str, float | None]:
    threshold = result.scores.threshold
    found = (
        Chosen(0, None, None, None) if threshold is None else choose(view.truth, ranks > threshold)
    )
    return {"precision": found.precision, "recall": found.recall, "f1": found.f1}


def _describe(result: Result) -> dict[str, Any]:
    return dict(zip(KEYS, (result.label, result.case, result.variant, result.seed), strict=True))


def _costs(result: Result) -> dict[str, Any]:
    costs = {name: getattr(result.scores, name) for name in COSTS}
    return {"n_pairs": result.settings["n_pairs"], **costs}
