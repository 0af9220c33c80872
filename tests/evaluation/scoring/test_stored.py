"""Scores of files: results of ours with their truth, and those that say less."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.runs import Settings, run
from knowncircuits.evaluation.scoring.stored import read_scores
from knowncircuits.exchange import graph_file, write_graph_file
from knowncircuits.graph import Graph


def test_a_result_of_ours_says_all(tmp_path: Path) -> None:
    settings = Settings("acdc", n_pairs=5, options={"thresholds": [0.1]}, label="mine")
    (result,) = run([settings], [("histogram", "compiled")], tmp_path)
    (path,) = tmp_path.rglob("*.json")
    found = read_scores(path)
    assert np.array_equal(found.scores.values, result.scores.values)
    assert (found.scores.method, found.scores.rank_by) == ("mine", "signed")
    assert found.truth == result.circuit
    assert found.where == " on histogram (compiled)"


def test_a_file_of_scores_alone_is_called_as_it_is_named(tmp_path: Path) -> None:
    graph = Graph(n_layers=1, n_heads=1)
    path = tmp_path / "theirs.json"
    write_graph_file(graph_file(graph, scores=np.arange(graph.n_edges, dtype=float)), path)
    found = read_scores(path)
    assert (found.scores.method, found.scores.rank_by) == ("theirs", "absolute")
    assert found.truth is None
    assert found.where == ""
    path.write_text(json.dumps({"edges": 3}))
    with pytest.raises(ResultError):
        read_scores(path)
