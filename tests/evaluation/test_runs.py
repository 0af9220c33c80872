"""Runs go on after a kill, and never mix two runs in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knowncircuits.cases import load_case
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.runs import Result, Settings, run
from knowncircuits.exchange import read_graph_file

CASES = ("fraction_of_x", "histogram", "reverse")


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    settings = Settings("eap", n_pairs=20)
    seen: list[Result] = []

    def kill(result: Result) -> None:
        seen.append(result)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settings, CASES, tmp_path, kill)
    seen.clear()
    resumed = run(settings, CASES, tmp_path, seen.append)
    assert [r.fresh for r in seen] == [False, False, True]
    whole = run(settings, CASES, tmp_path / "other")
    same = [c for c in whole.columns if c != "seconds"]
    assert resumed[same].equals(whole[same])


def test_result_files_hold_scores_truth_and_settings(tmp_path: Path) -> None:
    table = run(Settings("exact", n_pairs=10, seed=3), ["histogram"], tmp_path)
    file = read_graph_file(tmp_path / "exact" / "histogram.json")
    assert file.circuit() == load_case("histogram").compile().circuit
    assert (file.scores >= 0).all()
    assert file.document["settings"]["seed"] == 3
    assert len(file.document["settings"]["model"]) == 64
    assert file.document["result"]["auroc"] == table["auroc"][0] == 1.0


@pytest.mark.parametrize(
    "other",
    [
        Settings("eap", n_pairs=11),
        Settings("eap", seed=1),
        Settings("eap", metric="l2"),
        Settings("eap", corruption="minimal"),
    ],
)
def test_another_run_is_not_overwritten(tmp_path: Path, other: Settings) -> None:
    run(Settings("eap"), ["histogram"], tmp_path)
    before = (tmp_path / "eap" / "histogram.json").read_bytes()
    with pytest.raises(ResultError, match="is from another run"):
        run(other, ["histogram"], tmp_path)
    assert (tmp_path / "eap" / "histogram.json").read_bytes() == before


def test_foreign_and_broken_files_are_named(tmp_path: Path) -> None:
    run(Settings("eap"), ["histogram"], tmp_path)
    path = tmp_path / "eap" / "histogram.json"
    document = json.loads(path.read_text())
    path.write_text(path.read_text()[:100])
    with pytest.raises(ResultError, match="histogram.json"):
        run(Settings("eap"), ["histogram"], tmp_path)
    del document["settings"]
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match="no result of a run"):
        run(Settings("eap"), ["histogram"], tmp_path)
