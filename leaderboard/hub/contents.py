"""What is pushed and pulled, read as what it is: models, results, submissions, a site."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.runs.results import read_results
from knowncircuits.leaderboard.choices import HubKind
from knowncircuits.leaderboard.submission import DESCRIPTION, find_submissions, gather
from knowncircuits.models.certificates.summary import Summary
from knowncircuits.models.trained import CONFIG, load_trained


def index_of(folder: Path, kind: HubKind) -> pd.DataFrame:
    """A row for each model, result or submission below a folder, all of which is read.

    Raises ResultError or SubmissionError for what is broken, has the certificate of other weights,
    or is nothing of this kind.
    """
    return READERS[kind](folder)


def _models(folder: Path) -> pd.DataFrame:
    rows = []
    for config in sorted(folder.rglob(CONFIG)):
        trained, place = load_trained(config.parent), config.parent.relative_to(folder)
        sizes, certificate = trained.model.config, trained.certificate
        row = {
            "model": place.as_posix(),
            "case": trained.case.name,
            "layers": sizes.n_layers,
            "heads": sizes.n_heads,
            "d_model": sizes.d_model,
            "true_edges": len(trained.circuit.edges()),
            "edges": trained.circuit.graph.n_edges,
            "certified": certificate is not None and certificate.passed,
            "accuracy": None if certificate is None else Summary.of(certificate).accuracy,
        }
        rows.append(row)
    return _table(rows, folder, "models")


def _results(folder: Path) -> pd.DataFrame:
    rows = [
        {
            "label": result.label,
            "case": result.case,
            "variant": result.variant,
            "seed": result.seed,
            "edges": result.circuit.graph.n_edges,
        }
        for result in read_results(folder)
    ]
    return _table(rows, folder, "results")


def _submissions(folder: Path) -> pd.DataFrame:
    if (folder / DESCRIPTION).exists():
        raise ResultError(f"expected a folder of submissions, got one submission, {folder}")
    read, refused = gather(find_submissions([folder]))
    if refused:
        raise refused[0]
    rows = [
        {
            "id": submission.id,
            "title": submission.description.title,
            "kind": submission.description.kind,
            "version": submission.description.version,
            "zoo": submission.zoo,
            "models": len(submission.scores),
            "seeds": len(submission.description.conventions.seeds),
        }
        for submission in read
    ]
    return _table(rows, folder, "submissions")


def _board(folder: Path) -> pd.DataFrame:
    if not (folder / "index.html").is_file():
        raise ResultError(f"expected a site in {folder}, got no index.html")
    pages = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.html"))]
    return pd.DataFrame({"page": pages})


def _table(rows: Sequence[Mapping[str, object]], folder: Path, what: str) -> pd.DataFrame:
    if not rows:
        raise ResultError(f"expected {what} in {folder}, got none")
    return pd.DataFrame(rows)


READERS: Mapping[HubKind, Callable[[Path], pd.DataFrame]] = {
    "models": _models,
    "results": _results,
    "submissions": _submissions,
    "board": _board,
}
