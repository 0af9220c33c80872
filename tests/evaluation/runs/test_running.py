"""Runs go on after a kill, never mix two runs in one folder, and are the same in any order."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from knowncircuits.cases import load_case
from knowncircuits.circuit import Label
from knowncircuits.errors import (
    InputError,
    MethodError,
    ModelError,
    ResultError,
    UnknownNameError,
)
from knowncircuits.evaluation.comparison.compare import compare_results
from knowncircuits.evaluation.methods import METHODS, Method
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.runs import running
from knowncircuits.evaluation.runs.failures import Failure
from knowncircuits.evaluation.runs.results import Result, check_one_code, read_result, read_results
from knowncircuits.evaluation.runs.running import Job, method_seed, run
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.evaluation.runs.subjects import load_subject, own_name
from knowncircuits.evaluation.scoring.scores import score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.exchange import read_graph_file
from knowncircuits.models.trained import load_trained
from knowncircuits.models.zoo import load_model, shipped
from knowncircuits.work.processes import Processes
from knowncircuits.work.threads import threads

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
        run(settings, CASES, tmp_path, on_result=kill, zoo=1)
    seen.clear()
    resumed = run(settings, CASES, tmp_path, on_result=seen.append, zoo=1)
    assert [r.fresh for r in seen] == [False, False, True]
    whole = run(settings, CASES, tmp_path / "other", zoo=1)
    assert all(map(equal, resumed, whole))


@pytest.mark.long
def test_processes_and_order_change_nothing(tmp_path: Path) -> None:
    """Methods with chance of their own too."""
    settings = [Settings("edge-sp", 10, options={"steps": 5}), Settings("random", 10)]
    models = [("fraction_of_x", "seed0"), ("fraction_of_x", "shuffled")]
    one = run(settings, models, tmp_path / "one", seeds=(0, 3), zoo=1)
    many = run(settings, models, tmp_path / "many", seeds=(3, 0), executor=Processes(2), zoo=1)
    key = [(r.label, r.variant, r.seed) for r in many]
    assert key == [(s.name, v, d) for s in settings for _, v in models for d in (3, 0)]
    by_key = dict(zip(key, many, strict=True))
    assert all(equal(r, by_key[r.label, r.variant, r.seed]) for r in one)


def test_a_model_is_loaded_once_until_a_method_writes_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []

    def load(case: str, *rest: Any) -> Any:
        loads.append(case)
        return load_subject(case, *rest)

    monkeypatch.setattr(running, "load_subject", load)
    own = tmp_path / "own.py"
    own.write_text(
        "def spoil(task):\n"
        "    for weights in task.model.parameters():\n"
        "        weights.data.zero_()\n"
        "    return [0.0] * task.graph.n_edges\n"
    )
    names = ("eap", "nap", f"{own}:spoil", "exact")
    settings = [Settings(name, 10, label=f"of{i}") for i, name in enumerate(names)]
    results = run(settings, CASES[:2], tmp_path / "all", zoo=1)
    assert loads == ["fraction_of_x"] * 2 + ["histogram"] * 2
    assert [result.label for result in results] == [f"of{i}" for i in range(4) for _ in range(2)]
    alone = run(settings[3:], CASES[:2], tmp_path / "alone", zoo=1)
    assert all(map(equal, results[6:], alone))


def test_chance_is_not_the_same_for_every_model(tmp_path: Path) -> None:
    models = [("fraction_of_x", "seed0"), ("fraction_of_x", "seed1")]
    results = run([Settings("random", 5)], models, tmp_path, seeds=(0, 1), zoo=1)
    assert len({result.scores.values.tobytes() for result in results}) == 4
    seed = method_seed(Job(Settings("random"), "fraction_of_x", "seed0", 1))
    assert results[1].scores.options == {"seed": seed}
    given = run([Settings("random", 5, options={"seed": 3})], models, tmp_path / "given", zoo=1)
    assert np.array_equal(given[0].scores.values, given[1].scores.values)


def test_result_files_hold_scores_truth_and_settings(tmp_path: Path) -> None:
    settings = Settings("exact", n_pairs=10, label="patching")
    (result,) = run([settings], ONE, tmp_path, seeds=(3,), zoo=1)
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


def test_files_say_at_what_resolution_their_areas_are(tmp_path: Path) -> None:
    """The scores in them are as they were."""
    values = []
    for resolution in (1e-6, 0.0):
        folder = tmp_path / str(resolution)
        (result,) = run([Settings("exact", 10)], ONE, folder, resolution=resolution, zoo=1)
        document = read_graph_file(folder / "exact/histogram/compiled/0.json").document
        views = document["result"]["views"]
        assert {view["resolution"] for view in views.values()} == {resolution}
        values.append(read_result(folder / "exact/histogram/compiled/0.json").scores.values)
        assert np.array_equal(values[-1], result.scores.values)
    assert np.array_equal(*values)


def test_compiled_models_are_run_in_float64() -> None:
    """There what is outside of the circuit has an effect of 0."""
    subject = load_subject("histogram", "compiled")
    assert {p.dtype for p in subject.model.parameters()} == {torch.float64}
    effects = discover("exact", make_task(subject, 20)).values
    assert not effects[subject.circuit.labels != Label.IN].any()


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
    run([Settings("eap")], ONE, tmp_path, zoo=1)
    path = Job(Settings("eap"), *ONE[0]).path(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ResultError, match="is from another run"):
        run([other], ONE, tmp_path, zoo=1)
    assert path.read_bytes() == before


def test_foreign_and_broken_files_are_named(tmp_path: Path) -> None:
    run([Settings("eap")], ONE, tmp_path, zoo=1)
    path = Job(Settings("eap"), *ONE[0]).path(tmp_path)
    document = json.loads(path.read_text())
    path.write_text(path.read_text()[:100])
    with pytest.raises(ResultError, match=r"0\.json"):
        run([Settings("eap")], ONE, tmp_path, zoo=1)
    del document["settings"]
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match="no result of a run"):
        run([Settings("eap")], ONE, tmp_path, zoo=1)
    with pytest.raises(ResultError, match="expected result files under .*none, got none"):
        read_results(tmp_path / "none")


def test_results_are_read_from_files_and_folders(tmp_path: Path) -> None:
    run([Settings("random", n_pairs=5)], ONE, tmp_path, seeds=(0, 1), zoo=1)
    files = sorted(tmp_path.rglob("*.json"))
    for places in ([tmp_path], files, [tmp_path / "random" / "histogram"]):
        assert [result.seed for result in read_results(*places)] == [0, 1]
    with pytest.raises(ResultError, match="expected result files under .*none, got none"):
        read_results(tmp_path, tmp_path / "none")  # what is named wrongly is not passed over


def test_the_truth_is_that_of_the_model_that_is_run_on(tmp_path: Path) -> None:
    name = "fraction_of_x"
    (result,) = run([Settings("exact", n_pairs=10)], [(name, "seed0")], tmp_path, zoo=1)
    trained = load_model(name, zoo=1)
    assert result.circuit == trained.circuit
    assert trained.certificate is not None
    assert result.settings["model"] == trained.certificate.weights
    assert (result.zoo, result.settings["zoo"]) == (1, 1)


def test_models_of_ones_own_have_names_of_their_own(tmp_path: Path) -> None:
    """By folder and content: none is taken for another one, nor for the shipped model."""
    name, settings = "fraction_of_x", [Settings("exact", n_pairs=10)]
    folder, other = (shipped(1).place(name, variant) for variant in ("seed0", "seed1"))
    copied = tmp_path / "my models" / "seed0"
    shutil.copytree(other, copied)
    results = run(
        settings, [(name, p) for p in (folder, other, copied, "seed0")], tmp_path / "r", zoo=1
    )
    assert [result.own for result in results] == [True, True, True, False]
    assert np.array_equal(results[0].scores.values, results[3].scores.values)
    names = [result.variant for result in results]
    assert len(set(names)) == 4
    assert [re.sub("[0-9a-f]{8}$", "", name) for name in names] == [
        "own-seed0-",
        "own-seed1-",
        "own-seed0-",
        "seed0",
    ]
    assert [result.zoo for result in results] == [None, None, None, 1]
    assert names[1][-8:] == names[2][-8:] != names[0][-8:]  # of the content
    spaced = tmp_path / "a b"
    shutil.copytree(other, spaced)
    assert own_name(spaced, load_trained(spaced)) == f"own-a-b-{names[1][-8:]}"
    with pytest.raises(ResultError, match="expected a model of histogram, got fraction_of_x"):
        run(settings, [("histogram", folder)], tmp_path, zoo=1)


METHOD = """
import torch
def fit(task, *, scale=1.0):
    if task.name in {failing!r}:
        raise {error}
    return torch.arange(float(task.graph.n_edges)) * scale * {factor}
"""


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a user's method, as an editor does between two commands."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of one second and size they look equal

    def write(factor: float | str = 1.0, failing: Sequence[str] = (), error: str = "ValueError(3)"):
        text = METHOD.format(failing=tuple(failing), factor=factor, error=error)
        (tmp_path / "users_method.py").write_text(text)
        monkeypatch.delitem(sys.modules, "users_method", raising=False)
        importlib.invalidate_caches()

    write()
    return write


def test_an_edited_method_is_run_anew(tmp_path: Path, method: Callable[..., None]) -> None:
    """Old scores are neither returned nor averaged with new ones."""
    settings, folder = [Settings("users_method:fit", 5, options={"scale": 2.0})], tmp_path / "r"
    first = run(settings, CASES, folder, zoo=1)
    again = run(settings, CASES, folder, zoo=1)
    assert [r.fresh for r in again] == [False] * 3
    method(factor=-3.0)
    (edited,) = run(settings, CASES[:1], folder, zoo=1)
    assert (edited.fresh, edited.stale) == (True, True)
    assert np.array_equal(edited.scores.values, -3 * first[0].scores.values)
    with pytest.raises(ResultError, match="of users_method.fit that are all of one code, got sev"):
        check_one_code(read_results(folder))
    with pytest.raises(ResultError, match="all of one code"):
        compare_results(read_results(folder))
    all_edited = run(settings, CASES, folder, zoo=1)
    assert [(r.fresh, r.stale) for r in all_edited] == [(False, False), (True, True), (True, True)]
    check_one_code(read_results(folder))
    assert [r.fresh for r in run(settings, CASES, folder, fresh=True, zoo=1)] == [True] * 3


def test_results_without_a_record_of_their_code_are_run_anew(tmp_path: Path) -> None:
    """As version 0.1.0 wrote them first."""
    (result,) = run([Settings("eap")], ONE, tmp_path, zoo=1)
    path = Job(Settings("eap"), *ONE[0]).path(tmp_path)
    document = json.loads(path.read_text())
    for key in ("code", "threads"):
        del document["settings"][key]
    path.write_text(json.dumps(document))
    check_one_code(read_results(tmp_path))
    (anew,) = run([Settings("eap")], ONE, tmp_path, zoo=1)
    assert anew.stale
    assert equal(anew, result)


@pytest.mark.parametrize("error", ["ValueError(3)", "MemoryError", "SystemExit(3)"])
def test_a_method_that_fails_lets_the_others_go_on(
    tmp_path: Path, method: Callable[..., None], error: str
) -> None:
    settings, folder = [Settings("users_method:fit", 5)], tmp_path / "r"
    method(failing=["histogram"], error=error)
    failures: list[Failure] = []
    results = run(settings, CASES, folder, on_failure=failures.append, zoo=1)
    assert [r.case for r in results] == ["fraction_of_x", "reverse"]
    (failure,) = failures
    log = folder / "users_method.fit" / "histogram" / "compiled" / "0.failed.txt"
    kind = error.partition("(")[0]
    assert str(failure).startswith(f"users_method.fit on histogram compiled, seed 0: {kind}")
    assert failure.log == log
    assert "in fit\n    raise" in log.read_text()
    assert len(read_results(folder)) == 2
    # Not tried again, until that is asked for or the code changes.
    run(settings, CASES, folder, on_failure=failures.append, zoo=1)
    run(settings, CASES, folder, retry=True, on_failure=failures.append, zoo=1)
    assert [f.fresh for f in failures] == [True, False, True]
    with pytest.raises(MethodError, match="users_method.fit on histogram compiled, seed 0"):
        run(settings, CASES, folder, zoo=1)
    method()
    assert len(run(settings, CASES, folder, zoo=1)) == 3
    assert not log.exists()


def test_scores_that_do_not_fit_are_a_failure_and_wrong_options_are_not(
    tmp_path: Path, method: Callable[..., None]
) -> None:
    method(factor="float('inf')")
    failures: list[Failure] = []
    run([Settings("users_method:fit", 5)], ONE, tmp_path / "r", on_failure=failures.append, zoo=1)
    assert "GraphError: expected finite scores of users_method:fit" in failures[0].error
    wrong = [Settings("acdc", 5, options={"thresholds": []})]
    with pytest.raises(MethodError, match="expected thresholds above 0"):
        run(wrong, ONE, tmp_path, on_failure=failures.append, zoo=1)
    assert len(failures) == 1


@pytest.mark.long
def test_a_process_that_is_killed_is_a_failure_of_one_result(
    tmp_path: Path, method: Callable[..., None]
) -> None:
    """By the system for want of memory, say; the next run tries again."""
    method(failing=["histogram"], error="__import__('os').kill(__import__('os').getpid(), 9)")
    settings, folder = [Settings("users_method:fit", 5)], tmp_path / "r"
    failures: list[Failure] = []
    results = run(settings, CASES, folder, executor=Processes(2), on_failure=failures.append, zoo=1)
    assert [r.case for r in results] == ["fraction_of_x", "reverse"]
    assert str(failures[0]).endswith("a process ended with SIGKILL; start again to go on")
    assert not list(folder.rglob("*.failed.txt"))


def test_a_run_has_its_own_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever there was before, and that is there again afterwards."""
    seen: list[int] = []

    def count(task: Task) -> np.ndarray:
        seen.append(torch.get_num_threads())
        return np.zeros(task.graph.n_edges)

    monkeypatch.setitem(METHODS, "eap", Method(count))
    for n in (1, 2):
        with threads(2):
            (result,) = run([Settings("eap", threads=n)], ONE, tmp_path / str(n), zoo=1)
            assert torch.get_num_threads() == 2
        assert result.settings["threads"] == n
    assert seen == [1, 2]
    with pytest.raises(ResultError, match="from another run .threads: expected 2, got 1"):
        run([Settings("eap", threads=2)], ONE, tmp_path / "1", zoo=1)
    with pytest.raises(InputError, match="at least one thread, got 0"):
        Settings("eap", threads=0)
    document = json.loads(next((tmp_path / "1").rglob("*.json")).read_text())
    assert document["result"]["machine"]["torch"] == torch.__version__


def test_subjects_that_there_are_not(tmp_path: Path) -> None:
    settings = [Settings("exact")]
    with pytest.raises(UnknownNameError, match="unknown variant of zoo 1"):
        run(settings, [("fraction_of_x", "seed7")], tmp_path, zoo=1)
    with pytest.raises(ResultError, match="expected the folder of a trained model"):
        run(settings, [("fraction_of_x", tmp_path)], tmp_path, zoo=1)
    # A case that is far too deep for a shipped model.
    with pytest.raises(ModelError, match="no trained model shuffled"):
        run(settings, [("balanced_parentheses", "shuffled")], tmp_path, zoo=1)
    with pytest.raises(InputError, match=r"expected a label of letters.*got '\.\./up'"):
        Settings("exact", label="../up")
    assert list(tmp_path.iterdir()) == []


def test_a_default_that_is_said_is_the_same_run(tmp_path: Path) -> None:
    """But for a seed, without which each run has its own."""
    models = [("fraction_of_x", "seed0")]
    run([Settings("eap", 5)], models, tmp_path, zoo=1)
    (again,) = run([Settings("eap", 5, options={"batch_size": 256})], models, tmp_path, zoo=1)
    assert not again.fresh
    run([Settings("random", 5)], models, tmp_path, zoo=1)
    with pytest.raises(ResultError, match="from another run .options: "):
        run([Settings("random", 5, options={"seed": 0})], models, tmp_path, zoo=1)
