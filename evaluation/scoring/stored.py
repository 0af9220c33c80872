"""Scores as files have them: results of ours, or EAP-IG's JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.exchange import read_graph_file


@dataclass(frozen=True, eq=False)
class StoredScores:
    """The scores of a file, and what else it says of them."""

    scores: Scores
    truth: Circuit | None  # where every edge has a label
    where: str  # ` on CASE (VARIANT)`; empty where it does not say
    positions: tuple[str, ...] = ()  # what they are called, where it says so


def read_scores(path: Path) -> StoredScores:
    """The scores of a file; they are called as it says, or as the file.

    Raises ResultError for any other file.
    """
    file = read_graph_file(path)
    settings = file.document.get("settings", {})
    name = settings.get("label") or settings.get("method") or path.stem
    rank_by = file.document.get("rank_by", "absolute")
    scores = Scores(file.graph, file.scores, name, rank_by, by_position=file.by_position)
    labelled = all("label" in entry for entry in file.document["edges"].values())
    where = f" on {settings['case']} ({settings['variant']})" if "variant" in settings else ""
    return StoredScores(scores, file.circuit() if labelled else None, where, file.positions)
