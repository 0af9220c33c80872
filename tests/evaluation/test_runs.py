"""Runs go on after a kill, and never mix two runs in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knowncircuits.cases import load_case
from knowncircuits.errors import ModelError, ResultError, UnknownNameError
from knowncircuits.evaluation.runs import Result, Settings, run
from knowncircuits.exchange import read_graph_file
from knowncircuits.models.zoo import SHIPPED, load_model

CASES = ("fraction_of_x", "histogram", "reverse")


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    settings = Settings("eap", n_pairs=20, subject="compiled")
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
    table = run(Settings("exact", n_pairs=10, seed=3, subject="compiled"), ["histogram"], tmp_path)
    file = read_graph_file(tmp_path / "exact" / "histogram.json")
    assert file.circuit() == load_case("histogram").compile().circuit
    assert (file.scores >= 0).all()
    assert file.document["settings"]["seed"] == 3
    assert len(file.document["settings"]["model"]) == 64
    assert file.document["result"]["auroc"] == table["auroc"][0] == 1.0


@pytest.mark.parametrize(
    "other",
    [
        Settings("eap", n_pairs=11, subject="compiled"),
        Settings("eap", seed=1, subject="compiled"),
        Settings("eap", metric="l2", subject="compiled"),
        Settings("eap", corruption="minimal", subject="compiled"),
    ],
)
def test_another_run_is_not_overwritten(tmp_path: Path, other: Settings) -> None:
    run(Settings("eap", subject="compiled"), ["histogram"], tmp_path)
    before = (tmp_path / "eap" / "histogram.json").read_bytes()
    with pytest.raises(ResultError, match="is from another run"):
        run(other, ["histogram"], tmp_path)
    assert (tmp_path / "eap" / "histogram.json").read_bytes() == before


def test_foreign_and_broken_files_are_named(tmp_path: Path) -> None:
    run(Settings("eap", subject="compiled"), ["histogram"], tmp_path)
    path = tmp_path / "eap" / "histogram.json"
    document = json.loads(path.read_text())
    path.write_text(path.read_text()[:100])
    with pytest.raises(ResultError, match="histogram.json"):
        run(Settings("eap", subject="compiled"), ["histogram"], tmp_path)
    del document["settings"]
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match="no result of a run"):
        run(Settings("eap", subject="compiled"), ["histogram"], tmp_path)


def test_runs_on_trained_and_compiled_models_never_mix(tmp_path: Path) -> None:
    """Trained by default; the truth and the weights are those of the model that is run on."""
    name = "fraction_of_x"
    table = run(Settings("exact", n_pairs=10), [name], tmp_path)
    path = tmp_path / "exact" / f"{name}.json"
    file, trained = read_graph_file(path), load_model(name)
    assert file.circuit() == trained.circuit
    assert trained.certificate is not None
    assert file.document["settings"]["model"] == trained.certificate.weights
    assert file.document["settings"]["subject"] == "seed0"
    assert table["n_edges"][0] == trained.model.graph.n_edges
    before = path.read_bytes()
    for subject in ("compiled", SHIPPED.place(name, "seed0")):
        with pytest.raises(ResultError, match="subject: expected"):
            run(Settings("exact", n_pairs=10, subject=subject), [name], tmp_path)
    assert path.read_bytes() == before


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    name, folder = "fraction_of_x", SHIPPED.place("fraction_of_x", "seed0")
    own = run(Settings("exact", n_pairs=10, subject=folder), [name], tmp_path / "own")
    shipped = run(Settings("exact", n_pairs=10), [name], tmp_path / "shipped")
    same = [c for c in own.columns if c != "seconds"]
    assert own[same].equals(shipped[same])
    with pytest.raises(ResultError, match="expected a model of histogram, got fraction_of_x"):
        run(Settings("exact", subject=folder), ["histogram"], tmp_path)


def test_subjects_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown variant"):
        run(Settings("exact", subject="seed7"), ["fraction_of_x"], tmp_path)
    with pytest.raises(ResultError, match="expected the folder of a trained model"):
        run(Settings("exact", subject=tmp_path), ["fraction_of_x"], tmp_path)
    # A case that is far too deep for a shipped model.
    with pytest.raises(ModelError, match="no trained model shuffled"):
        run(Settings("exact", subject="shuffled"), ["balanced_parentheses"], tmp_path)
    assert list(tmp_path.iterdir()) == []
