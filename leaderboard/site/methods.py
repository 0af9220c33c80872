"""The pages of methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from knowncircuits.cases.registry import load_case
from knowncircuits.evaluation.scoring.views import VIEWS
from knowncircuits.leaderboard.scoring import Curves, precision_curves, roc_curves
from knowncircuits.leaderboard.site.drawing import number_cell
from knowncircuits.leaderboard.site.figures import precision_figure, roc_figure
from knowncircuits.leaderboard.site.render import Page, probability_text, signed_text
from knowncircuits.leaderboard.site.standings import Standings
from knowncircuits.leaderboard.slices import HEADLINE
from knowncircuits.leaderboard.submission import Submission

COSTS = {
    "seconds": "seconds",
    "forward_passes": "forward passes",
    "backward_passes": "backward passes",
    "peak_memory_bytes": "peak memory, bytes",
}


def method_pages(standings: Standings) -> Iterator[Page]:
    """A page for each submission."""
    board = standings.board
    structural = {s.key: set(s.cases) for s in board.slices}.get(HEADLINE, set())
    models = {key: model for key, model in board.models.items() if model.case in structural}
    chosen = board.submissions, models
    roc = _by_method(roc_curves(*chosen, resolution=board.resolution))
    precision = _by_method(precision_curves(*chosen, resolution=board.resolution))
    others = _others(standings)
    for submission in board.submissions:
        name = submission.id
        yield Page(
            f"methods/{name}.html",
            "method.html",
            {
                "d": submission.description,
                "row": standings.row(HEADLINE, "edge", name),
                "roc": roc_figure(roc[name]) if name in roc else None,
                "precision": precision_figure(precision[name]) if name in precision else None,
                "costs": _costs(submission),
                "slices": [
                    {"slice": s, "row": standings.row(s.key, "edge", name)} for s in board.slices
                ],
                "cases": _cases(standings, submission),
                "others": others.get(name, []),
            },
        )


def _by_method(curves: Curves) -> dict[str, dict[str, np.ndarray]]:
    """Curves by case of each method."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for (name, case), curve in curves.items():
        found.setdefault(name, {})[case] = curve
    return found


def _cases(standings: Standings, submission: Submission) -> list[dict[str, Any]]:
    """A row for each case that the submission has scores of."""
    rows = []
    for case, models in standings.models_of.items():
        covered = sum(model.key in submission.scores for model in models)
        if not covered:
            continue
        hard = standings.difficulties[case]
        rows.append(
            {
                "name": case,
                "family": load_case(case).family,
                "depth": hard.depth,
                "degenerate": hard.degenerate,
                "areas": [standings.mean(view, "auroc", case, submission.id) for view in VIEWS],
                "precision": standings.mean("edge", "average_precision", case, submission.id),
                "prevalence": standings.prevalence[case],
                "covered": covered,
                "of": len(models),
            }
        )
    return rows


def _others(standings: Standings) -> dict[str, list[dict[str, Any]]]:
    """For each ranked method the tests against the others, in the order of the board."""
    titles = {s.id: s.description.title for s in standings.board.submissions}
    order = {row["method"]: i for i, row in enumerate(standings.rows(HEADLINE, "edge"))}
    found: dict[str, list[dict[str, Any]]] = {}
    for test in standings.tests:
        for sign, one, other in ((1, "a", "b"), (-1, "b", "a")):
            found.setdefault(test[one], []).append(
                {
                    "id": test[other],
                    "title": titles[test[other]],
                    "cells": _cells(test, sign),
                }
            )
    return {name: sorted(rows, key=lambda r: order[r["id"]]) for name, rows in found.items()}


def _cells(test: Mapping[str, Any], sign: int) -> Markup:
    """A test's numbers, as the first method's page has them, or the second's."""
    difference = sign * test["difference"]
    wins, losses = (test["wins"], test["losses"])[::sign]
    cells = [number_cell(difference, signed_text(difference))]
    cells += [number_cell(n, str(n)) for n in (wins, losses, test["ties"])]
    cells += [number_cell(p, probability_text(p)) for p in (test["p"], test["p_holm"])]
    cells.append(number_cell(test["a12"] if sign == 1 else 1 - test["a12"]))
    return Markup("").join(cells)


def _costs(submission: Submission) -> list[tuple[str, float, float]]:
    """The mean and the most of each kind of cost, over all runs that say it."""
    runs = [run for runs in submission.description.costs.values() for run in runs]
    rows = []
    for field, text in COSTS.items():
        values = [value for run in runs if (value := getattr(run, field)) is not None]
        if values:
            rows.append((text, float(np.mean(values)), float(max(values))))
    return rows
