"""Models made by recipes: certified ones get a folder, all others an entry, and nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from groups import alive
from knowncircuits.cases import load_case
from knowncircuits.cli import app
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.models.certificates.agreement import Agreement
from knowncircuits.models.trained import Trained
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.zoo import (
    Outcome,
    Plan,
    Zoo,
    load_model,
    make_models,
    plan_model,
    produce,
)
from knowncircuits.models.zoo.plans import EVERY, find_start
from knowncircuits.transformer import weights_hash

NAME = "fraction_of_x"
SHORT = {"n_inputs": 500, "n_validation": 50, "validate_every": 10, "steps": 20}
# Enough for a case whose circuit is one MLP: it takes 100 steps.
EASY = {**SHORT, "n_inputs": 2000, "validate_every": 50, "steps": 600, "d_model": 16}


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path / "zoo", 1)


def recipes(folder: Path, **by_case: dict[str, Any]) -> Path:
    path = folder / "recipes.json"
    path.write_text(json.dumps({name: {"seed0": recipe} for name, recipe in by_case.items()}))
    return path


def make(zoo: Zoo, path: Path, *names: str, **options: Any) -> list[Outcome]:
    models = [(name, "seed0") for name in names]
    return make_models(zoo, models, recipes=path, n_pairs=200, **options)


def test_recipes_say_what_departs_from_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "recipes.json"
    sizes = {"layers": 3, "heads": 5, "d_model": 20, "d_head": 7}
    shuffled = {**sizes, "betas": [0.8, 0.9], "restarts": [3, 7]}
    path.write_text(json.dumps({NAME: {"seed0": {"steps": 7}, "shuffled": shuffled}}))
    assert plan_model("histogram", zoo=1, recipes=path) == Plan("histogram", zoo=1)
    assert plan_model(NAME, zoo=1, recipes=path) == Plan(NAME, TrainingConfig(steps=7), zoo=1)
    # A variant without a recipe has that of seed0.
    seed1 = Plan(NAME, TrainingConfig(steps=7, seed=1), zoo=1)
    assert plan_model(NAME, "seed1", 1, path) == seed1
    plan = plan_model(NAME, "shuffled", 1, path)
    assert plan.config == TrainingConfig(seed=2, betas=(0.8, 0.9), restarts=(3, 7))
    trainer = plan.trainer()
    low = trainer.placed.model.config
    assert (low.n_layers, low.n_heads, low.d_model, low.d_head) == (3, 5, 20, 7)
    placed = trainer.placed.correspondence.nodes
    assert any(place != node for node, place in placed.items())


def test_recipes_share_what_stands_under_every(tmp_path: Path) -> None:
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps({EVERY: {"steps": 7, "layers": 3}, NAME: {"seed0": {"steps": 8}}}))
    assert plan_model(NAME, zoo=1, recipes=path).config.steps == 8
    for name, steps in ((NAME, 8), ("histogram", 7)):
        plan = plan_model(name, "seed1", 1, path)
        assert (plan.config.steps, plan.config.seed) == (steps, 1)
        assert plan.sizes == {"n_layers": 3}


def test_recipes_of_a_family_share_what_stands_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "recipes.json"
    shared = {EVERY: {"steps": 7, "layers": 3}, f"{EVERY}counting": {"steps": 8, "heads": 5}}
    path.write_text(json.dumps({**shared, "histogram": {"seed0": {"heads": 6}}}))
    for name, steps, sizes in (
        ("sort", 7, {"n_layers": 3}),
        ("count_a", 8, {"n_layers": 3, "n_heads": 5}),
        ("histogram", 8, {"n_layers": 3, "n_heads": 6}),
    ):
        plan = plan_model(name, zoo=1, recipes=path)
        assert (plan.config.steps, plan.sizes) == (steps, sizes)


def test_every_model_of_zoo_2_is_placed_by_its_case_and_seed(tmp_path: Path) -> None:
    sizes = {"layers": 4, "heads": 8, "d_model": 16}
    path = recipes(tmp_path, fraction_of_x=sizes, histogram=sizes)
    plans = {
        (name, variant): plan_model(name, variant, 2, path)
        for name in (NAME, "histogram")
        for variant in ("seed0", "seed1", "seed2")
    }
    assert [plan.config.seed for plan in plans.values()] == [0, 1, 2, 0, 1, 2]
    assert len({plan.shuffle for plan in plans.values()}) == len(plans)
    assert None not in {plan.shuffle for plan in plans.values()}
    heads = {
        edge.placed(placed.nodes).source
        for plan in plans.values()
        for placed in [plan.trainer().placed.correspondence]
        for edge in placed.high.carrying_edges
        if edge.source.kind == "head"
    }
    assert len(heads) > 3  # two of six may meet by chance
    with pytest.raises(UnknownNameError, match="unknown variant of zoo 2 'shuffled'; known: seed0"):
        plan_model(NAME, "shuffled", 2, path)


def test_a_shuffled_model_is_placed_as_the_one_that_it_starts_from(tmp_path: Path) -> None:
    """Whose circuit it takes over; what it has beside that goes elsewhere."""
    start = load_model("sort", zoo=1)
    low = start.model.config
    sizes = {"layers": low.n_layers + 1, "heads": low.n_heads, "d_head": low.d_head}
    recipe = {**SHORT, **sizes, "d_model": low.d_model, "start": "zoo1/sort"}
    path = recipes(tmp_path, median=recipe)
    plan = plan_model("median", "seed1", 2, path)
    assert find_start("zoo1/sort", 2) == find_start("sort/seed0", 1) == find_start("sort", 1)
    nodes = plan.trainer().placed.correspondence.nodes
    shared = {node: place for node, place in start.correspondence.nodes.items() if node in nodes}
    assert len(shared) > 4
    assert {node: nodes[node] for node in shared} == shared
    assert set(nodes) - set(shared)


def test_a_shuffled_placement_moves_something() -> None:
    """Also where the first random placement is the usual one."""
    usual = 0
    for seed in range(8):
        plan = Plan("identity", TrainingConfig(**SHORT), shuffle=seed)
        trainer = plan.trainer()
        nodes = trainer.placed.correspondence.nodes
        assert any(place != node for node, place in nodes.items())
        found = trainer.placed.correspondence.shuffled(
            load_case("identity").compile().circuit, trainer.placed.correspondence.low, seed
        )
        usual += found.nodes == {node: node for node in found.nodes}
    assert usual


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"stepps": 3}, "got stepps"),
        ({"seed": 3}, "expected no seed"),
        ({"steps": 0}, "steps to be greater than 0"),
        ({"start": 3}, "expected the name of a model to start from, got 3"),
        ({"start": "balanced_words"}, "shipped model to start from, got balanced_words"),
        ({"start": "identity/seed2"}, "shipped model to start from, got identity/seed2"),
        ({"start": "zoo2/identity/shuffled"}, "model to start from, got zoo2/identity/shuffled"),
        ({"start": "zoo1"}, "shipped model to start from, got zoo1"),
        ({"steps": "many"}, "no recipe for seed0"),
        (["steps"], "no recipe for seed0"),
    ],
)
def test_wrong_recipes_are_found_before_anything_runs(
    zoo: Zoo, tmp_path: Path, recipe: Any, message: str
) -> None:
    with pytest.raises(ResultError, match=message):
        make(zoo, recipes(tmp_path, histogram=recipe), "fraction_of_x", "histogram")
    assert not zoo.folder.exists()


def test_wrong_names_and_files(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown case"):
        make(zoo, recipes(tmp_path), "fraction_of_y")
    with pytest.raises(UnknownNameError, match="unknown variant of zoo 1"):
        make_models(zoo, [(NAME, "seed7")])
    with pytest.raises(ResultError, match="no recipe for"):
        make(zoo, tmp_path / "none.json", NAME)


@pytest.mark.long
def test_certified_models_are_put_there_and_left_alone(zoo: Zoo, tmp_path: Path) -> None:
    """What was missing before no longer is."""
    make(zoo, recipes(tmp_path, identity=SHORT), "identity")
    assert "identity" in zoo.missing()
    path = recipes(tmp_path, identity=EASY)
    (done,) = make(zoo, path, "identity")
    assert done.certified, done.reason
    assert zoo.names() == ["identity"]
    assert zoo.missing() == {}
    trained = zoo.load("identity")
    assert trained.certificate is not None
    assert trained.certificate.passed
    assert trained.training["steps"] == done.steps
    assert trained.training["config"]["n_inputs"] == EASY["n_inputs"]
    assert {p.name for p in zoo.folder.iterdir()} == {"identity", "missing.json"}
    assert make(zoo, path, "identity") == []


def test_a_recipe_may_start_from_a_shipped_model(zoo: Zoo, tmp_path: Path) -> None:
    """Which goes down with the model, and in the entry of one that fails."""
    start = load_model("identity", zoo=1)
    low = start.model.config
    sizes = {"layers": low.n_layers, "heads": low.n_heads, "d_model": low.d_model}
    recipe = {**SHORT, **sizes, "start": "identity", "steps": 1}
    (done,) = make(zoo, recipes(tmp_path, identity=recipe), "identity")
    assert done.certified, done.reason
    assert zoo.load("identity").training["start"] == weights_hash(start.model)
    wrong = {**recipe, "d_model": low.d_model + 1}
    (done,) = make(zoo, recipes(tmp_path, histogram=wrong), "histogram")
    assert not done.certified
    assert "to start from" in done.reason
    assert zoo.missing()["histogram"]["seed0"][0]["settings"]["start"] == "identity"


@pytest.mark.long
def test_everything_else_becomes_an_entry(zoo: Zoo, tmp_path: Path) -> None:
    """What fails, diverges or has no place; each attempt once, the best one first."""
    hopeless = {**SHORT, "optimizer": "adam", "learning_rate": 1e9, "warmup": 0}
    shallow = {**SHORT, "layers": 2}
    path = recipes(tmp_path, histogram=SHORT, reverse=hopeless, balanced_parentheses=shallow)
    done = make(zoo, path, "histogram", "reverse", "balanced_parentheses")
    assert [outcome.certified for outcome in done] == [False] * 3
    assert zoo.names() == []
    missing = zoo.missing()
    (histogram,) = missing["histogram"]["seed0"]
    assert histogram["steps"] == 20
    assert histogram["n_failures"] > 10
    assert len(histogram["failures"]) == 10
    assert "accuracy: expected agreement of at least 99.9%, got" in histogram["failures"][0]
    assert 0 <= histogram["numbers"]["worst_inside"][1] < 0.999
    assert histogram["settings"]["config"]["steps"] == 20
    assert "diverged" in missing["reverse"]["seed0"][0]["reason"]
    assert "an impossible placement" in missing["balanced_parentheses"]["seed0"][0]["reason"]
    assert {p.name for p in zoo.folder.iterdir()} == {"missing.json"}

    assert make(zoo, path, "histogram") == []  # the same was tried
    del histogram["settings"]["config"]["restarts"]  # as before there was this setting
    zoo.write_missing(missing)
    assert make(zoo, path, "histogram") == []
    assert len(make(zoo, path, "histogram", retry=True)) == 1
    assert len(zoo.missing()["histogram"]["seed0"]) == 1
    assert len(make(zoo, recipes(tmp_path, histogram=hopeless), "histogram")) == 1
    attempts = zoo.missing()["histogram"]["seed0"]
    assert [attempt["n_failures"] is None for attempt in attempts] == [False, True]


def test_training_goes_on_where_an_early_end_is_not_certified(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a certificate passes; the last step is the end in any case."""
    steps: list[int] = []

    def certify(trained: Trained, **options: Any) -> Trained:
        steps.append(trained.training["steps"])
        found = original(trained, **options)
        if len(steps) < 3:
            assert found.certificate is not None
            edges = {edge: Agreement(1, 0, 1) for edge in found.certificate.edges}
            found = replace(found, certificate=replace(found.certificate, edges=edges))
        return found

    original = produce.with_certificate
    monkeypatch.setattr(produce, "with_certificate", certify)
    (done,) = make(zoo, recipes(tmp_path, identity=EASY), "identity")
    assert done.certified, done.reason
    assert steps == sorted(set(steps))
    assert len(steps) == 3
    assert done.steps == steps[-1]


def test_what_was_killed_goes_on(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it is certified, a model is not there, and is not trained again."""
    path = recipes(tmp_path, identity=SHORT)
    steps: list[int] = []

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def count(trainer: Any, **options: Any) -> Any:
        before = trainer.n_steps
        agreement = original(trainer, **options, on_step=lambda n, losses: steps.append(n))
        assert before == 0
        return agreement

    original = produce.train
    monkeypatch.setattr(produce, "train", count)
    with monkeypatch.context() as patched:
        patched.setattr(produce, "with_certificate", kill)
        with pytest.raises(KeyboardInterrupt):
            make(zoo, path, "identity")
    assert steps[-1] == 20
    assert not zoo.place("identity", "seed0").exists()
    steps.clear()
    (done,) = make(zoo, path, "identity")
    assert steps == []
    assert done.steps == 20
    assert not (zoo.folder / ".work").exists()


@pytest.mark.long
def test_several_processes_from_the_command_line(tmp_path: Path) -> None:
    path = recipes(tmp_path, identity=SHORT, negate=SHORT)
    folder = tmp_path / "zoo"
    options = ["-j", "2", "-o", str(folder), "--zoo", "1", "--recipes", str(path)]
    options += ["--pairs", "50"]
    done = CliRunner().invoke(app, ["models", "train", "-c", "identity", "-c", "negate", *options])
    assert done.exit_code == 1, done.output
    assert "identity seed0: not certified, 20 steps" in done.output
    assert "2 models: 0 certified, 2 not; 2 trained now" in done.output
    assert set(Zoo(folder, 1).missing()) == {"identity", "negate"}
    again = CliRunner().invoke(app, ["models", "train", "-c", "identity", "-c", "negate", *options])
    assert "0 trained now" in again.output


@pytest.mark.long
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    long = {**SHORT, "steps": 100_000, "validate_every": 20}
    path = recipes(tmp_path, histogram=long, identity=long)
    command = [
        sys.executable,
        "-m",
        "knowncircuits.cli",
        "models",
        "train",
        "-c",
        "histogram",
        "-c",
        "identity",
    ]
    options = ["-j", "2", "--zoo", "1", "-o", str(tmp_path / "zoo"), "--recipes", str(path)]
    started = subprocess.Popen(
        [*command, *options], start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob("zoo/.work/*/*.pt"))) == 2)
        started.kill()
        started.wait()
        wait_until(lambda: not alive(started.pid))
    finally:
        if alive(started.pid):
            os.killpg(started.pid, signal.SIGKILL)


def wait_until(done: Callable[[], bool], seconds: float = 900.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_natural_partner_does_without_sets_of_edges() -> None:
    """Recipes of zoo 2 give outside nodes work and run pairs again, which only these can."""
    plan = plan_model("histogram", "seed0", 2)
    assert plan.config.busy
    assert plan.config.again
    natural = plan.trained_by("behaviour")
    assert (natural.config.objective, natural.config.busy, natural.config.again) == (
        "behaviour",
        0,
        0,
    )
    assert (natural.sizes, natural.config.steps) == (plan.sizes, plan.config.steps)
    assert plan.trained_by("edges").config == replace(plan.config, objective="edges")


def test_the_recipe_of_ioi_has_as_many_layers_and_heads_as_interpbenchs() -> None:
    plan = plan_model("ioi", "seed0", 2).changed({"n_inputs": 500, "n_validation": 50})
    trainer = replace(plan, config=replace(plan.config, strata=False)).trainer()
    c = trainer.placed.model.config
    assert (c.n_layers, c.n_heads, c.d_model, c.d_vocab_out) == (6, 4, 64, 9)
    roles = trainer.placed.circuit.roles
    assert sorted(roles.values()) == ["S-inhibition", "duplicate token", "name mover"]
    assert set(roles) <= set(trainer.placed.circuit.inside_nodes)
    first = trainer.step().total
    assert min(trainer.step().total for _ in range(8)) < first


@pytest.mark.long
def test_models_of_one_shape_are_made_in_a_stack(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of another shape is trained beside them."""
    short = {**SHORT, "steps": 4, "validate_every": 2}
    by_variant = {"seed0": short, "shuffled": {**short, "d_model": 16}}
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps({NAME: by_variant}))
    stacked: list[list[str]] = []
    together = produce._make_together

    def watched(jobs: Any, size: int, executor: Any) -> Any:
        stacked.append([job.variant for job in jobs])
        return together(jobs, size, executor)

    monkeypatch.setattr(produce, "_make_together", watched)
    models = [(NAME, variant) for variant in ("seed0", "shuffled", "seed1")]
    outcomes = make_models(zoo, models, recipes=path, n_pairs=20, stack=2)
    assert stacked == [["seed0", "seed1"]]
    found = [(o.variant, o.certified, o.steps) for o in outcomes]
    assert found == [("seed0", False, 4), ("seed1", False, 4), ("shuffled", False, 4)]
    assert set(zoo.missing()[NAME]) == {"seed0", "seed1", "shuffled"}
    assert not (zoo.folder / ".work").exists()


@pytest.mark.long
def test_a_stack_is_certified_and_stored_in_16_bits(zoo: Zoo, tmp_path: Path) -> None:
    path = recipes(tmp_path, fraction_of_x=EASY)
    models = [(NAME, "seed0"), (NAME, "seed1")]
    options: dict[str, Any] = {"recipes": path, "n_pairs": 200, "stack": 2, "storage": "float16"}
    outcomes = make_models(zoo, models, **options)
    assert [outcome.certified for outcome in outcomes] == [True, True], outcomes
    for variant in ("seed0", "seed1"):
        trained = zoo.load(NAME, variant)
        assert trained.certificate is not None
        assert trained.certificate.passed
        assert trained.rounded("float16").certificate is trained.certificate
    assert make_models(zoo, models, **options) == []
