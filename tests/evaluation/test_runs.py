"""Runs go on after a kill, never mix two runs in one folder, and are the same in any order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knowncircuits.cases import load_case
from knowncircuits.errors import InputError, ModelError, ResultError, UnknownNameError
from knowncircuits.evaluation.results import Result, read_result, read_results
from knowncircuits.evaluation.runs import Job, Settings, method_seed, run
from knowncircuits.evaluation.scoring.scores import score
from knowncircuits.exchange import read_graph_file
from knowncircuits.models.zoo import SHIPPED, load_model

CASES = tuple((case, "compiled") for case in ("fraction_of_x", "histogram", "reverse"))
ONE = (("histogram", "compiled"),)


def equal(a: Result, b: Result) -> bool:
    """The same scores and settings, whenever they were computed."""
    same = np.array_equal(a.scores.values, b.scores.values) and a.circuit == b.circuit
    names = ("label", "case", "variant", "seed", "settings")
    return same and all(getattr(a, name) == getattr(b, name) for name in names)


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    settings = [Settings("eap", n_pairs=20)]
    seen: list[Result] = []

    def kill(result: Result) -> None:
        seen.append(result)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settings, CASES, tmp_path, on_result=kill)
    seen.clear()
    resumed = run(settings, CASES, tmp_path, on_result=seen.append)
    assert [r.fresh for r in seen] == [False, False, True]
    whole = run(settings, CASES, tmp_path / "other")
    assert all(map(equal, resumed, whole))


def test_processes_and_order_change_nothing(tmp_path: Path) -> None:
    """Methods with chance of their own too."""
    settings = [Settings("edge-sp", 10, options={"steps": 5}), Settings("random", 10)]
    models = [("fraction_of_x", "seed0"), ("fraction_of_x", "shuffled")]
    one = run(settings, models, tmp_path / "one", seeds=(0, 3))
    many = run(settings, models, tmp_path / "many", seeds=(3, 0), processes=2)
    key = [(r.label, r.variant, r.seed) for r in many]
    assert key == [(s.name, v, d) for s in settings for _, v in models for d in (3, 0)]
    by_key = dict(zip(key, many, strict=True))
    assert all(equal(r, by_key[r.label, r.variant, r.seed]) for r in one)


def test_chance_is_not_the_same_for_every_model(tmp_path: Path) -> None:
    models = [("fraction_of_x", "seed0"), ("fraction_of_x", "seed1")]
    results = run([Settings("random", 5)], models, tmp_path, seeds=(0, 1))
    assert len({result.scores.values.tobytes() for result in results}) == 4
    seed = method_seed(Job(Settings("random"), "fraction_of_x", "seed0", 1))
    assert results[1].scores.options == {"seed": seed}
    given = run([Settings("random", 5, options={"seed": 3})], models, tmp_path / "given")
    assert np.array_equal(given[0].scores.values, given[1].scores.values)


def test_result_files_hold_scores_truth_and_settings(tmp_path: Path) -> None:
    settings = Settings("exact", n_pairs=10, label="patching")
    (result,) = run([settings], ONE, tmp_path, seeds=(3,))
    path = tmp_path / "patching" / "histogram" / "compiled" / "3.json"
    file = read_graph_file(path)
    assert file.circuit() == result.circuit == load_case("histogram").compile().circuit
    assert (file.scores >= 0).all()
    assert file.document["settings"] == dict(result.settings)
    assert file.document["settings"]["seed"] == 3
    assert len(file.document["settings"]["model"]) == 64
    stored = file.document["result"]["views"]["edge"]
    assert stored == score(result.scores, result.circuit).to_dict()
    assert stored["auroc"] == 1.0
    back = read_result(path)
    assert equal(back, result)
    assert (back.fresh, result.fresh) == (False, True)
    assert back.scores.forward_passes == result.scores.forward_passes
    assert [r.label for r in read_results(tmp_path)] == ["patching"]


@pytest.mark.parametrize(
    "other",
    [
        Settings("eap", n_pairs=11),
        Settings("eap", metric="l2"),
        Settings("eap", corruption="minimal"),
        Settings("eap", ablation="mean"),
        Settings("eap", options={"batch_size": 3}),
        Settings("exact", label="eap"),
    ],
)
def test_another_run_is_not_overwritten(tmp_path: Path, other: Settings) -> None:
    run([Settings("eap")], ONE, tmp_path)
    path = Job(Settings("eap"), *ONE[0]).path(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ResultError, match="is from another run"):
        run([other], ONE, tmp_path)
    assert path.read_bytes() == before


def test_foreign_and_broken_files_are_named(tmp_path: Path) -> None:
    run([Settings("eap")], ONE, tmp_path)
    path = Job(Settings("eap"), *ONE[0]).path(tmp_path)
    document = json.loads(path.read_text())
    path.write_text(path.read_text()[:100])
    with pytest.raises(ResultError, match=r"0\.json"):
        run([Settings("eap")], ONE, tmp_path)
    del document["settings"]
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match="no result of a run"):
        run([Settings("eap")], ONE, tmp_path)
    with pytest.raises(ResultError, match="expected result files under .*none, got none"):
        read_results(tmp_path / "none")


def test_the_truth_is_that_of_the_model_that_is_run_on(tmp_path: Path) -> None:
    name = "fraction_of_x"
    (result,) = run([Settings("exact", n_pairs=10)], [(name, "seed0")], tmp_path)
    trained = load_model(name)
    assert result.circuit == trained.circuit
    assert trained.certificate is not None
    assert result.settings["model"] == trained.certificate.weights


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    name, settings = "fraction_of_x", [Settings("exact", n_pairs=10)]
    folder, other = (SHIPPED.place(name, variant) for variant in ("seed0", "seed1"))
    (own,) = run(settings, [(name, folder)], tmp_path)
    (shipped,) = run(settings, [(name, "seed0")], tmp_path)
    assert np.array_equal(own.scores.values, shipped.scores.values)
    assert (own.variant, shipped.variant) == ("own", "seed0")
    with pytest.raises(ResultError, match="expected a model of histogram, got fraction_of_x"):
        run(settings, [("histogram", folder)], tmp_path)
    with pytest.raises(ResultError, match="is from another run .model: expected"):
        run(settings, [(name, other)], tmp_path)


def test_subjects_that_there_are_not(tmp_path: Path) -> None:
    settings = [Settings("exact")]
    with pytest.raises(UnknownNameError, match="unknown variant"):
        run(settings, [("fraction_of_x", "seed7")], tmp_path)
    with pytest.raises(ResultError, match="expected the folder of a trained model"):
        run(settings, [("fraction_of_x", tmp_path)], tmp_path)
    # A case that is far too deep for a shipped model.
    with pytest.raises(ModelError, match="no trained model shuffled"):
        run(settings, [("balanced_parentheses", "shuffled")], tmp_path)
    with pytest.raises(InputError, match=r"expected a label of letters.*got '\.\./up'"):
        Settings("exact", label="../up")
    assert list(tmp_path.iterdir()) == []
