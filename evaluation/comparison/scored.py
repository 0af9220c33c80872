"""Results as a tidy table: a row for each method, model, draw of pairs and view."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.runs.results import COSTS, Result, check_one_zoo
from knowncircuits.evaluation.scoring.scores import Chosen, Scores, choose, score_rankings
from knowncircuits.evaluation.scoring.set_scores import OF_SETS, set_scores
from knowncircuits.evaluation.scoring.views import VIEWS, View, view_circuit

KEYS = ("method", "case", "variant", "seed")
VALUES = ("auroc", "average_precision", "precision_at_size", "prevalence")


def score_results(
    results: Iterable[Result],
    views: Sequence[str] = tuple(VIEWS),
    *,
    resolution: float = RESOLUTION,
) -> pd.DataFrame:
    """Score many results at once, those of one circuit in one go.

    Args:
        results: of runs; what counts is their raw scores.
        views: of `VIEWS`.
        resolution: see `score`.

    Returns:
        Columns method (the label), case, variant, seed, view; auroc, average_precision and
        precision_at_size, NaN where all determined items are of one kind; prevalence, n_items,
        n_determined, n_true; economy and best_match where circuits say which sets of edges are
        enough, see `set_scores`; resolution; precision, recall and f1 of the method's own circuit
        where there is a threshold; n_pairs, seconds, forward_passes, backward_passes, peak_memory;
        zoo, of shipped models. In the order of the results, views last.

    Raises ResultError for results on models of several zoos.
    """
    ordered = list(results)
    check_one_zoo(ordered)
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, result in enumerate(ordered):
        circuit = result.circuit
        groups[circuit.graph, circuit.labels.tobytes(), circuit.sets].append(i)
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for places in groups.values():
        group = [ordered[i] for i in places]
        for view in views:
            for i, scored in zip(places, _score_group(group, view, resolution), strict=True):
                rows[i, view] = {
                    **_describe(ordered[i]),
                    "view": view,
                    **scored,
                    **_costs(ordered[i]),
                    "zoo": ordered[i].zoo or np.nan,
                }
    return pd.DataFrame([rows[i, view] for i in range(len(ordered)) for view in views])


def case_scores(table: pd.DataFrame) -> pd.DataFrame:
    """The scores of one method: a row for each case, means over its models and draws.

    Args:
        table: of `score_results`.
    """
    edges = table[table["view"] == "edge"]
    of_sets = [name for name in OF_SETS if name in table]
    columns = [*VALUES, *of_sets, "n_items", "n_true", "seconds"]
    models = edges.groupby(["case", "variant"], sort=False)[columns].mean()
    cases = models.groupby("case", sort=False).mean()
    cases["models"] = models.groupby("case", sort=False).size()
    return cases.reset_index()


def _score_group(group: Sequence[Result], view: str, resolution: float) -> list[dict[str, Any]]:
    """The numbers of results that share a circuit."""
    seen = view_circuit(group[0].circuit, view)
    ranks = np.stack([result.scores.ranks(resolution) for result in group])
    found = score_rankings(seen, ranks) | {"resolution": np.full(len(group), resolution)}
    if view == "edge":
        found |= set_scores(group[0].circuit, ranks)
    return [
        {**{name: values[i] for name, values in found.items()}, **_chosen(seen, result.scores)}
        for i, result in enumerate(group)
    ]


def _chosen(view: View, scores: Scores) -> dict[str, float | None]:
    if scores.threshold is None:
        found = Chosen(0, None, None, None)
    else:
        found = choose(view.truth, view.select(scores.ranking) > scores.threshold)
    return {"precision": found.precision, "recall": found.recall, "f1": found.f1}


def _describe(result: Result) -> dict[str, Any]:
    return dict(zip(KEYS, (result.label, result.case, result.variant, result.seed), strict=True))


def _costs(result: Result) -> dict[str, Any]:
    costs = {name: getattr(result.scores, name) for name in COSTS}
    return {"n_pairs": result.settings["n_pairs"], **costs}
