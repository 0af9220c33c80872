"""Raw scores against the certified truth: the only numbers that a board is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from knowncircuits.evaluation.choices import RESOLUTION
from knowncircuits.evaluation.scoring.curves import precision_at, roc_at
from knowncircuits.evaluation.scoring.ranking import at_resolution
from knowncircuits.evaluation.scoring.scores import score_rankings
from knowncircuits.evaluation.scoring.views import VIEWS, view_circuit
from knowncircuits.leaderboard.submission import Submission, models_of
from knowncircuits.leaderboard.truth import Certified
from knowncircuits.work.progress import part, reported

KEYS = ("method", "case", "variant", "seed", "view")
VALUES = ("auroc", "average_precision")
RATES = np.linspace(0, 1, 51).round(12)  # false positive rates and recalls that curves are read at

Curves = dict[tuple[str, str], Float[np.ndarray, " rate"]]  # by method and case


def score_submissions(
    submissions: Sequence[Submission],
    models: Mapping[str, Certified] | None = None,
    *,
    resolution: float = RESOLUTION,
) -> pd.DataFrame:
    """Score all submissions, those of one model in one go.

    Args:
        submissions: whose raw scores are compared with the truth.
        models: the certified models, by default those of the submissions' zoo.
        resolution: below which share of a vector's largest magnitude scores are ties; see
            `knowncircuits.evaluation.scoring.ranking.at_resolution`.

    Returns:
        A row for each submission, model, seed and view: method (its id), case, variant, seed,
        view; auroc and average_precision, which are NaN where all determined items are of one kind;
        resolution; the zoo.
    """
    parts: list[dict[str, object]] = []
    with part("scoring"):
        for model, names, seeds, rankings in stacked(submissions, models, resolution):
            for view in VIEWS:
                areas = score_rankings(view_circuit(model.circuit, view), rankings)
                parts.append(
                    {
                        "method": names,
                        "case": np.full(len(names), model.case, dtype=object),
                        "variant": np.full(len(names), model.variant, dtype=object),
                        "seed": seeds,
                        "view": np.full(len(names), view, dtype=object),
                        **{value: areas[value] for value in VALUES},
                        "resolution": np.full(len(names), resolution),
                        "zoo": np.full(len(names), model.zoo),
                    }
                )
    columns = (*KEYS, *VALUES, "resolution", "zoo")
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in columns})


def stacked(
    submissions: Sequence[Submission],
    models: Mapping[str, Certified] | None = None,
    resolution: float = RESOLUTION,
) -> Iterator[tuple[Certified, np.ndarray, np.ndarray, Float[np.ndarray, "row edge"]]]:
    """The rankings of all submissions and seeds on each model, with their ids and seeds."""
    models = models_of(submissions) if models is None else models
    for key, model in reported([*models.items()]):
        there = [submission for submission in submissions if key in submission.scores]
        if not there:
            continue
        seeds = [submission.description.conventions.seeds for submission in there]
        names = np.repeat(
            np.array([submission.id for submission in there], dtype=object), [*map(len, seeds)]
        )
        rankings = np.concatenate([submission.ranking(key) for submission in there])
        yield model, names, np.concatenate(seeds), at_resolution(rankings, resolution)


def roc_curves(
    submissions: Sequence[Submission],
    models: Mapping[str, Certified],
    *,
    resolution: float = RESOLUTION,
) -> Curves:
    """The ROC curve of each method on each case: the mean over seeds, then over its models."""
    return _curves(submissions, models, resolution, roc_at)


def precision_curves(
    submissions: Sequence[Submission],
    models: Mapping[str, Certified],
    *,
    resolution: float = RESOLUTION,
) -> Curves:
    """The precision of each method on each case at recalls, averaged as `roc_curves` is."""
    return _curves(submissions, models, resolution, precision_at)


def _curves(
    submissions: Sequence[Submission],
    models: Mapping[str, Certified],
    resolution: float,
    read: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Curves:
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for model, names, _, rankings in stacked(submissions, models, resolution):
        seen = view_circuit(model.circuit, "edge")
        if seen.truth.all() or not seen.truth.any():
            continue
        curves = read(seen.truth, seen.select(rankings), RATES)
        for name in dict.fromkeys(names):
            found.setdefault((name, model.case), []).append(curves[names == name].mean(0))
    return {key: np.mean(curves, axis=0) for key, curves in found.items()}
