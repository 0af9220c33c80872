"""Folders of wired models, and wired models where compiled and trained ones serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import knowncircuits as kc
from knowncircuits.cli import app
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.runs.subjects import load_own, load_subject, own_name
from knowncircuits.evaluation.truth.known import known_sets
from knowncircuits.exchange import read_graph_file
from knowncircuits.models import save_trained
from knowncircuits.models.wired import Wired, host, rotate, save_wired, split

runner = CliRunner()
NAME = "fraction_of_x"


def made() -> Wired:
    wired = host(kc.load_case(NAME).compile(), 3, 2, seed=2)
    head = next(node for node in wired.circuit.inside_nodes if node.kind == "head")
    return rotate(split(wired, head, [head, f"a{head.layer}.h2"]), seed=1)


@pytest.fixture(scope="module")
def wired() -> Wired:
    return made()


@pytest.fixture
def folder(wired: Wired, tmp_path: Path) -> Path:
    save_wired(wired, tmp_path / "model")
    return tmp_path / "model"


def test_what_is_read_is_what_was_written(wired: Wired, folder: Path) -> None:
    again = kc.load_wired(str(folder))
    ids = wired.compiled.draw(50, seed=0)
    assert torch.equal(again.model(ids), wired.model(ids))
    assert again.model.hidden == wired.model.hidden
    assert (again.circuit, again.recipe) == (wired.circuit, wired.recipe)
    assert read_graph_file(folder / "circuit.json").circuit() == wired.circuit
    assert sorted(path.name for path in folder.iterdir()) == [
        "circuit.json",
        "model.safetensors",
        "wired.json",
    ]
    recipe = json.loads((folder / "wired.json").read_text())["recipe"]
    assert [step["transformation"] for step in recipe] == ["host", "split", "rotate"]
    assert recipe[2]["parameters"] == {"seed": 1}


def change_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["W_U"] += 1
    save_file(weights, folder / "model.safetensors")


def change_json(folder: Path, **fields: Any) -> None:
    path = folder / "wired.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change_weights, r"expected weights \w{12}, got \w{12}"),
        (lambda f: change_json(f, hidden=[1, 1, 10**6]), "expected hidden of 0 to"),
        (lambda f: change_json(f, images={"m9->logits": []}), "unknown edge 'm9->logits'"),
        (lambda f: change_json(f, images={"m0->logits": ["x"]}), "unknown edge 'x'"),
        (lambda f: change_json(f, recipe=[{"transformation": 1}]), "recipe"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "expected weights as safetensors"),
        (lambda f: (f / "wired.json").write_text("{"), "expected the description of a wired model"),
    ],
)
def test_broken_folders(folder: Path, spoil: Callable[[Path], Any], message: str) -> None:
    spoil(folder)
    with pytest.raises(ResultError, match=f"expected the folder of a wired model: .*{message}"):
        kc.load_wired(folder)


def test_its_answers(wired: Wired) -> None:
    assert wired(["a", "x", "x"]) == pytest.approx([0, 1 / 2, 2 / 3])
    with pytest.raises(kc.KnownCircuitsError):
        wired(["q"])


def test_tasks_methods_effects_and_other_libraries(wired: Wired) -> None:
    task = kc.make_task(wired, n_pairs=30)
    assert kc.score(kc.discover("exact", task), wired.circuit).average_precision == 1
    effects = kc.causal_effects(wired, n_inputs=20, scales=[1])
    inside = {str(n) for n in wired.circuit.inside_nodes}
    changed = set(effects[effects["effect"] > 0]["node"])
    assert changed <= inside
    assert changed
    ids = wired.compiled.draw(5, seed=0)
    twin = wired.to_hooked()
    assert (twin(ids) - wired.model(ids)).abs().max() < 1e-9


def test_folders_of_trained_and_wired_models(folder: Path, tmp_path: Path) -> None:
    assert isinstance(load_subject(NAME, folder), Wired)
    with pytest.raises(ResultError, match="expected a model of reverse, got fraction_of_x"):
        load_subject("reverse", folder)
    save_trained(kc.load_model(NAME, zoo=1), tmp_path / "trained")
    assert isinstance(load_own(tmp_path / "trained"), kc.Trained)
    assert own_name(folder, kc.load_wired(folder)).startswith("own-model-")


def test_the_commands(tmp_path: Path) -> None:
    folder, results = str(tmp_path / "wired"), str(tmp_path / "results")
    steps = ["host layers=3 heads=2 seed=2", "rotate seed=1"]
    done = runner.invoke(app, ["wire", NAME, *steps, "-o", folder])
    assert done.exit_code == 0, done.output
    assert "rotate seed=1" in done.output
    shown = runner.invoke(app, ["show", NAME, "--model", folder])
    assert "host layers=3 heads=2 width=16" in shown.output
    assert "3 layers, 2 heads" in shown.output
    run = runner.invoke(app, ["run", NAME, "x", "a", "--model", folder])
    assert "wired model" in run.output
    assert ["a", "0.5", "0.5"] in [line.split() for line in run.output.splitlines()]
    scored = runner.invoke(app, ["score", "exact", "--model", folder, "-o", results])
    assert scored.exit_code == 0, scored.output
    assert len(list(Path(results).glob(f"exact/{NAME}/own-wired-*/0.json"))) == 1


def test_a_trained_models_folder_is_none(tmp_path: Path) -> None:
    save_trained(kc.load_model(NAME, zoo=1), tmp_path / "trained")
    done = runner.invoke(app, ["run", NAME, "a", "--model", str(tmp_path / "trained")])
    assert "expected the folder of a wired model" in str(done.exception)


def test_truth_under_sets_is_the_compiled_models_at_other_places() -> None:
    compiled = kc.load_case("gate_or_2").compile()
    config = compiled.model.config
    wired = rotate(host(compiled, config.n_layers + 1, config.n_heads + 1, seed=1), seed=1)
    found = [
        known_sets(subject, kc.make_task(subject, 10, direction="on-off"), "on-off").sets
        for subject in (compiled, wired)
    ]
    assert found[0] is not None
    assert found[1] is not None
    images = [
        {frozenset(image for edge in s for image in wired.images[edge]) for s in found[1].minimal},
        set(map(frozenset, found[0].minimal)),
    ]
    assert images[0] == images[1]
    assert len(found[1].company) == len(found[0].company) == 4
