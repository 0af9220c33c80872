"""What is stored of zoos' models is of these models, and a few measured again give the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from typer.testing import CliRunner

from knowncircuits.cases.registry import list_cases
from knowncircuits.cli import app
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.hardness.listing import describe_all, summarise
from knowncircuits.evaluation.hardness.measuring import CHEAP, hardness
from knowncircuits.evaluation.hardness.stored import (
    NAMES,
    hardness_file,
    measure_zoo,
    read_hardness,
    write_hardness,
)
from knowncircuits.models.certificates.identity import circuit_hash
from knowncircuits.models.zoo.shelf import Zoo, shipped

AGAIN = [("fraction_of_x", "seed0"), ("type_boundary", "shuffled")]


@pytest.mark.parametrize("version", [1, 2])
def test_every_model_is_measured_as_it_is_certified(version: int) -> None:
    """`knowncircuits maintain hardness` measures those that are not."""
    zoo = shipped(version)
    models = zoo.among(list_cases("all"), list(zoo.variants))
    measured = read_hardness(zoo)
    assert set(measured) == set(models)
    for model in models:
        certificate = zoo.describe(*model)[1]
        found = measured[model]
        assert (found.weights, found.circuit) == (certificate.weights, certificate.circuit), model
        assert set(found.hardness.cheap) == {*CHEAP, NAMES}


@pytest.mark.parametrize("model", AGAIN)
def test_measured_again_it_is_what_is_stored(model: tuple[str, str]) -> None:
    zoo = shipped(1)
    trained, stored = zoo.load(*model), read_hardness(zoo)[model]
    assert stored.circuit == circuit_hash(trained.circuit)
    again, known = hardness(trained).to_dict(), stored.hardness.to_dict()
    names = known["cheap"].pop(NAMES)
    assert 0 < names["edge"]["average_precision"] <= 1
    assert again["cheap"].keys() == known["cheap"].keys()
    for name, value in known.items():
        if name == "cheap":
            for score, of in value.items():
                for view, areas in of.items():
                    assert again[name][score][view] == pytest.approx(areas, rel=1e-3)
        elif isinstance(value, list):
            assert again[name] == value
        else:
            assert again[name] == pytest.approx(value, rel=1e-3), name


@pytest.fixture
def small_zoo(tmp_path: Path) -> Zoo:
    for model in AGAIN:
        copytree(shipped(1).place(*model), tmp_path / "zoo" / model[0] / model[1])
    return Zoo(tmp_path / "zoo")


def test_only_what_has_changed_is_measured(small_zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {model: read_hardness(shipped(1))[model] for model in AGAIN}
    first, second = AGAIN
    stored[first] = replace(stored[first], weights="of others")
    write_hardness(small_zoo, stored)
    tried = []

    def measure(trained: object) -> object:
        tried.append(trained)
        return stored[first].hardness

    monkeypatch.setattr("knowncircuits.evaluation.hardness.stored.hardness", measure)
    found = measure_zoo(small_zoo, AGAIN)
    assert len(tried) == 1
    assert found[first].weights == read_hardness(shipped(1))[first].weights
    assert replace(found[second].hardness, cheap={}) == replace(stored[second].hardness, cheap={})
    write_hardness(small_zoo, found)
    again = measure_zoo(small_zoo, AGAIN)
    assert len(tried) == 1
    before = hardness_file(small_zoo).read_bytes()
    write_hardness(small_zoo, again)
    assert hardness_file(small_zoo).read_bytes() == before


def test_broken_files_are_named(small_zoo: Zoo) -> None:
    assert read_hardness(small_zoo) == {}
    hardness_file(small_zoo).write_text(json.dumps({"identity/seed0": {"weights": 3}}))
    with pytest.raises(ResultError, match=r"hardness\.json: expected the hardness of models, got"):
        read_hardness(small_zoo)


def test_the_command_prints_rows_and_what_they_come_to() -> None:
    words = "models hardness --suite structural --variant all --zoo 1 --format json"
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    rows, (together,) = document["models"], document["together"]
    assert len(rows) == 74
    assert together["gap"] == np.median([row["gap"] for row in rows])
    name = "read share, AP"
    assert together[name] == pytest.approx(np.mean([row[name] for row in rows]))
    measured = {m: found for m, found in read_hardness(shipped(1)).items() if m in AGAIN}
    assert summarise(describe_all(measured))["living_edges"] == pytest.approx(
        np.mean([found.hardness.living_edges for found in measured.values()])
    )
    done = CliRunner().invoke(app, ["models", "hardness", "--folder", "none"])
    assert isinstance(done.exception, Exception)
    assert "none/hardness.json, got none" in str(done.exception)
