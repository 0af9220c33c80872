"""The pages of cases, and their list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from knowncircuits.cases.difficulty import Difficulty
from knowncircuits.cases.registry import load_case
from knowncircuits.circuit import Label
from knowncircuits.evaluation.catalogue.worked import worked_example
from knowncircuits.evaluation.figures.drawing import circuit_text
from knowncircuits.evaluation.hardness.measuring import CHEAP
from knowncircuits.evaluation.hardness.stored import NAMES, Measured, read_hardness
from knowncircuits.evaluation.scoring.views import VIEWS
from knowncircuits.leaderboard.site.drawing import circuit_svg
from knowncircuits.leaderboard.site.figures import effects_figure
from knowncircuits.leaderboard.site.render import Page, size_text
from knowncircuits.leaderboard.site.standings import Standings
from knowncircuits.leaderboard.slices import level_of
from knowncircuits.leaderboard.stored_effects import Curves
from knowncircuits.leaderboard.truth import Certified
from knowncircuits.models.certificates.summary import Summary
from knowncircuits.models.choices import OWN
from knowncircuits.models.trained import FILES
from knowncircuits.models.zoo.shelf import shipped
from knowncircuits.rasp.text import program_text

BLIND = {"depth": "late edges", "shortness": "short edges", "from_embed": "edges out of embed"}


def case_pages(standings: Standings, curves: Mapping[str, Curves]) -> Iterator[Page]:
    """A page for each case that has models."""
    zoo = standings.board.zoo
    hard_of = {} if zoo == OWN else read_hardness(shipped(zoo))
    for name, models in standings.models_of.items():
        circuit = models[0].circuit
        hard = standings.difficulties[name]
        case = load_case(name)
        yield Page(
            f"cases/{name}.html",
            "case.html",
            {
                "case": case,
                "hard": hard,
                "level": level_of(hard.depth),
                "blind": best_blind(hard),
                "edges": {label.name.lower(): len(circuit.edges(label)) for label in Label},
                "program": program_text(case.program),
                "drawing": circuit_svg(circuit, name),
                "text": circuit_text(circuit),
                "worked": worked_example(case),
                "cheap": [*CHEAP, NAMES],
                "variants": [
                    _variant(model, hard_of.get((name, model.variant)), files_of(model))
                    for model in models
                ],
                "rows": _rows(standings, name),
                "prevalence": standings.prevalence[name],
                "curves": effects_figure(curves[models[0].key]),
                "effects": [
                    (node, status, effect)
                    for node, (status, effect) in curves[models[0].key].at(1.0).items()
                ],
            },
        )


def cases_page(standings: Standings) -> Page:
    """The list of cases."""
    ranked = {row["method"] for row in standings.rows("structural", "edge") if not row["state"]}
    chosen = np.array([s.id in ranked for s in standings.board.submissions], dtype=bool)
    rows = []
    for name, models in standings.models_of.items():
        hard, case = standings.difficulties[name], load_case(name)
        values = standings.by_method("edge", "auroc", name)[chosen]
        values = values[~np.isnan(values)]
        rows.append(
            {
                "name": name,
                "family": case.family,
                "description": case.description,
                "depth": hard.depth,
                "degenerate": hard.degenerate,
                "n_true": len(models[0].circuit.edges()),
                "n_edges": models[0].circuit.graph.n_edges,
                "models": len(models),
                "median": float(np.median(values)) if len(values) else np.nan,
                "best": float(values.max()) if len(values) else np.nan,
                "blind": best_blind(hard)["value"],
            }
        )
    return Page("cases.html", "cases.html", {"cases": rows})


def best_blind(hard: Difficulty) -> dict[str, Any]:
    """Which of the scores that look at no model finds the compiled model's circuit best."""
    known = {name: value for name in BLIND if (value := hard.auroc.get(name)) is not None}
    if not known:
        return {"name": "scores that look at no model", "value": np.nan}
    best = max(known, key=lambda name: known[name])
    return {"name": BLIND[best], "value": known[best]}


def files_of(model: Certified) -> dict[str, Path]:
    """The files of a model by their paths on the site."""
    places = {name: model.folder / name for name in FILES}
    return {f"models/{model.key}/{name}": path for name, path in places.items() if path.is_file()}


def _variant(
    model: Certified, measured: Measured | None, files: Mapping[str, Path]
) -> dict[str, Any]:
    return {
        "hardness": measured and measured.hardness,
        "name": model.variant,
        "sizes": model.sizes,
        "summary": Summary.of(model.certificate),
        "weights": model.weights,
        "files": [
            {"path": path, "name": file.name, "size": size_text(file.stat().st_size)}
            for path, file in files.items()
        ],
    }


def _rows(standings: Standings, case: str) -> list[dict[str, Any]]:
    """A row for each submission with scores of the case, the best first, controls last."""
    keys = [model.key for model in standings.models_of[case]]
    rows = []
    for submission in standings.board.submissions:
        covered = sum(key in submission.scores for key in keys)
        if covered:
            name = submission.id
            rows.append(
                {
                    "id": name,
                    "title": submission.description.title,
                    "kind": submission.description.kind,
                    "areas": [standings.mean(view, "auroc", case, name) for view in VIEWS],
                    "precision": standings.mean("edge", "average_precision", case, name),
                    "covered": covered,
                }
            )
    return sorted(
        rows,
        key=lambda r: (r["kind"] == "control", -np.nan_to_num(r["areas"][0], nan=-1), r["id"]),
    )
