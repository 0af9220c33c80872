"""Scores of each pair against the truth on that pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.scoring.scores import Scores, score


@takes(scores=Scores, circuits=[Circuit])
def score_pairs(
    scores: Scores, circuits: Sequence[Circuit], *, resolution: float = RESOLUTION
) -> pd.DataFrame:
    """Score what a method says of each pair by the truth on that pair.

    Where it says nothing of single pairs its scores of all together count on each: what is one
    circuit for all inputs worth on each of them?

    Args:
        scores: of a method.
        circuits: one for each pair; see `pair_circuits`.
        resolution: see `score`.

    Returns:
        A row for each pair: pair, auroc, average_precision, economy, prevalence and n_true; NaN
        where all determined edges are of one kind.

    Raises:
        ResultError: for another number of circuits than of pairs.
        GraphError: for circuits of another graph.
    """
    rows = [scores.values] * len(circuits) if scores.by_pair is None else list(scores.by_pair)
    if len(rows) != len(circuits):
        raise ResultError(f"expected a circuit for each of {len(rows)} pairs, got {len(circuits)}")
    found = [
        score(replace(scores, values=values, by_pair=None), circuit, resolution=resolution)
        for values, circuit in zip(rows, circuits, strict=True)
    ]
    columns = ("auroc", "average_precision", "economy", "prevalence", "n_true")
    table = pd.DataFrame([{name: getattr(one, name) for name in columns} for one in found])
    table.insert(0, "pair", range(len(table)))
    return table.astype(dict.fromkeys(columns[:4], float))
