"""Runs: a method over many cases, one result file for each, resumable after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from knowncircuits.cases import load_case
from knowncircuits.compiler import Compiled
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.discover import discover
from knowncircuits.evaluation.scores import Score, score
from knowncircuits.evaluation.task import Ablation, make_task
from knowncircuits.exchange import graph_file, read_graph_file, write_graph_file
from knowncircuits.models.trained import Trained, load_trained
from knowncircuits.models.zoo import load_model
from knowncircuits.transformer import weights_hash

COMPILED = "compiled"
COLUMNS = ("auroc", "average_precision", "precision_at_size", "prevalence", "n_edges", "n_true")


@dataclass(frozen=True)
class Settings:
    """What makes two runs the same: with equal settings the scores are identical."""

    method: str
    n_pairs: int = 100
    seed: int = 0
    metric: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    corruption: str = "resample"
    # What it is run on: `compiled`, a variant of the shipped models, or a trained model's folder.
    subject: str | Path = "seed0"
    ablation: Ablation = "resample"

    def to_dict(self) -> dict[str, Any]:
        """For the result file."""
        return {
            "method": self.method,
            "n_pairs": self.n_pairs,
            "seed": self.seed,
            "metric": self.metric,
            "options": dict(self.options),
            "corruption": self.corruption,
            "subject": str(self.subject),
            "ablation": self.ablation,
            "version": version("knowncircuits"),
        }

    @property
    def folder(self) -> str:
        """What the method's folder is called; of `module:function`, a name without the colon."""
        return self.method.replace(":", ".")


@dataclass(frozen=True)
class Result:
    """One method on one case."""

    case: str
    score: Score
    seconds: float
    fresh: bool  # computed now, not read back


def load_subject(case: str, subject: str | Path) -> Compiled | Trained:
    """The model of a case that a run is about.

    Raises:
        UnknownNameError: for an unknown case or variant.
        ModelError: if no such model of the case is shipped.
        ResultError: for a folder that holds no trained model, or another case's.
    """
    if isinstance(subject, str):
        return load_case(case).compile() if subject == COMPILED else load_model(case, subject)
    trained = load_trained(subject)
    if trained.compiled.name != case:
        raise ResultError(f"{subject}: expected a model of {case}, got {trained.compiled.name}")
    return trained


def run_case(case: str, settings: Settings, folder: Path) -> Result:
    """Run a method on a case's model, or read back what an equal run has left.

    Writes `folder/METHOD/CASE.json`, in EAP-IG's format, with the score and the settings beside.

    Raises:
        ResultError: if the file there is from other settings, or cannot be written.
        ModelError: if there is no such model of the case; see `load_subject`.
    """
    path = folder / settings.folder / f"{case}.json"
    subject = load_subject(case, settings.subject)
    described = {**settings.to_dict(), "case": case, "model": weights_hash(subject.model)}
    if path.exists():
        return _read_back(path, case, described)
    task = make_task(
        subject,
        settings.n_pairs,
        settings.seed,
        settings.metric,
        settings.corruption,
        ablation=settings.ablation,
    )
    scores = discover(settings.method, task, circuit=subject.circuit, **settings.options)
    found = score(scores, subject.circuit)
    file = graph_file(
        scores.graph,
        circuit=subject.circuit,
        scores=scores.values,
        d_model=subject.model.config.d_model,
        settings=described,
        rank_by=scores.rank_by,
        result={
            **found.to_dict(),
            "seconds": scores.seconds,
            "forward_passes": scores.forward_passes,
            "backward_passes": scores.backward_passes,
            "metric": task.metric,
            "options": dict(scores.options),
            "details": dict(scores.details),
        },
    )
    write_graph_file(file, path)
    return Result(case, found, scores.seconds, fresh=True)


def _read_back(path: Path, case: str, described: Mapping[str, Any]) -> Result:
    document = read_graph_file(path).document
    there, result = document.get("settings"), document.get("result")
    if not isinstance(there, dict) or not isinstance(result, dict):
        raise ResultError(f"{path} is no result of a run; move it away or choose another folder")
    differing = [key for key in described if there.get(key) != described[key]]
    if differing:
        changes = "; ".join(
            f"{key}: expected {described[key]!r}, got {there.get(key)!r}" for key in differing
        )
        raise ResultError(f"{path} is from another run ({changes}); choose another folder with -o")
    fields = {name: result[name] for name in Score.__dataclass_fields__}
    return Result(case, Score(**fields), result["seconds"], fresh=False)


def run(
    settings: Settings,
    cases: Iterable[str],
    folder: Path,
    on_result: Callable[[Result], None] = lambda result: None,
) -> pd.DataFrame:
    """Run a method over cases, one after another; `on_result` hears of each.

    Returns:
        A row for each case: AUROC, average precision and the baselines, edges, seconds.
    """
    rows = []
    for case in cases:
        result = run_case(case, settings, folder)
        on_result(result)
        row = {name: getattr(result.score, name) for name in COLUMNS}
        rows.append({"case": case, **row, "seconds": result.seconds})
    return pd.DataFrame(rows, columns=["case", *COLUMNS, "seconds"])
