"""A page for each case: all edges of its first model, the truth, and the ranks of each method."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from scipy.stats import rankdata

from knowncircuits.circuit import Label
from knowncircuits.evaluation.scoring.ranking import at_resolution
from knowncircuits.leaderboard.site.render import Page
from knowncircuits.leaderboard.site.standings import Standings
from knowncircuits.leaderboard.slices import HEADLINE
from knowncircuits.leaderboard.submission import Submission
from knowncircuits.leaderboard.truth import Certified

MOST = 24  # methods with a column, the best of the board


def edge_pages(standings: Standings) -> Iterator[Page]:
    """A page for each case that has models."""
    board = standings.board
    by_id = {submission.id: submission for submission in board.submissions}
    order = [
        by_id[row["method"]]
        for row in standings.rows(HEADLINE, "edge") or standings.rows("all", "edge")
        if row["state"] != "control"
    ]
    for case, (model, *_) in standings.models_of.items():
        methods = [submission for submission in order if model.key in submission.scores][:MOST]
        ranks = [edge_ranks(method, model, board.resolution) for method in methods]
        context = {
            "case": case,
            "model": model.key,
            "methods": [{"id": m.id, "title": m.description.title} for m in methods],
            "n_true": len(model.circuit.edges()),
            "n_determined": int(model.circuit.determined.sum()),
            "rows": list(
                _rows(model, np.array(ranks).reshape(len(methods), model.circuit.graph.n_edges))
            ),
            "most": MOST,
        }
        yield Page(f"edges/{case}.html", "edges.html", context)


def edge_ranks(
    submission: Submission, model: Certified, resolution: float
) -> Float[np.ndarray, " edge"]:
    """Where a method has each edge of a model, from 1, among those that are determined.

    The mean over draws of pairs; tied edges share the mean of their places. Undetermined edges,
    which are not scored, have NaN.
    """
    determined = model.circuit.determined
    ranks = np.full(len(determined), np.nan)
    rankings = at_resolution(submission.ranking(model.key), resolution)[:, determined]
    ranks[determined] = rankdata(-rankings, axis=-1).mean(0)
    return ranks


def _rows(model: Certified, ranks: Float[np.ndarray, "method edge"]) -> Iterator[dict[str, Any]]:
    """True edges first, then others by their median rank, so that what misleads stands above."""
    circuit = model.circuit
    n_true = len(circuit.edges())
    if len(ranks):
        typical = np.nan_to_num(np.median(ranks, axis=0), nan=np.inf)
    else:
        typical = np.where(circuit.determined, 0.0, np.inf)
    order = np.lexsort((typical, circuit.labels != Label.IN))
    for i in order:
        edge = circuit.graph.edges[i]
        label = Label(circuit.labels[i])
        inside = label == Label.IN
        yield {
            "edge": edge,
            "label": label.name.lower(),
            "carries": ", ".join(circuit.carries.get(edge, ())),
            "cells": Markup("".join(_cell(rank, inside, n_true) for rank in ranks[:, i])),
        }


def _cell(rank: float, inside: bool, n_true: int) -> str:
    """HTML of a rank: coloured where a true edge is among the first, or another one is."""
    if math.isnan(rank):
        return "<td>–"
    first = rank <= n_true
    kind = " class=hit" if first and inside else " class=miss" if first or inside else ""
    return f"<td{kind}>{rank:.4g}"
