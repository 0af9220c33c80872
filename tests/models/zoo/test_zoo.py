"""The shipped models: every one is measured again; tampering and absences are told apart."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import knowncircuits as kc
from knowncircuits.cli import app
from knowncircuits.errors import InputError, ModelError, ResultError, UnknownNameError
from knowncircuits.models.certificates.agreement import Agreement
from knowncircuits.models.certificates.chance import is_missed
from knowncircuits.models.certificates.summary import Summary
from knowncircuits.models.certificates.thresholds import EVERY_EDGE
from knowncircuits.models.choices import ZooVersion
from knowncircuits.models.trained import load_trained, save_trained
from knowncircuits.models.zoo import VARIANTS, Zoo, check_model, plan_model, shipped
from knowncircuits.models.zoo.check import CERTIFIED_PAIRS, FALSE_ALARM, PAIRS
from knowncircuits.models.zoo.duplicates import find_duplicates
from knowncircuits.models.zoo.listing import best_attempts, describe_models
from knowncircuits.models.zoo.plans import EVERY
from knowncircuits.transformer import weights_hash

ALL: list[tuple[ZooVersion, str, str]] = [
    (zoo, name, variant)
    for zoo in VARIANTS
    for variant in VARIANTS[zoo]
    for suite in ("all", "generated")
    for name in kc.list_models(suite, variant, zoo)
]
OF_ZOO_1 = [(name, variant) for zoo, name, variant in ALL if zoo == 1]
NAME = "fraction_of_x"
LIMIT = 60_000_000  # bytes of everything in the zoo
LARGE = 100_000  # bytes of weights of which checking takes seconds

runner = CliRunner()


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    """A copy of one shipped model, to be tampered with."""
    copy = Zoo(tmp_path, 1)
    shutil.copytree(shipped(1).place(NAME, "seed0"), copy.place(NAME, "seed0"))
    return copy


def is_large(zoo: ZooVersion, name: str, variant: str) -> bool:
    return (shipped(zoo).place(name, variant) / "model.safetensors").stat().st_size > LARGE


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def leak(folder: Path) -> None:
    """Let an MLP outside the circuit write into the residual stream."""
    state = load_file(folder / "model.safetensors")
    state["b_out"][-1] += 1.0
    state["W_out"][-1] += 1.0
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("version", "name", "variant"),
    [pytest.param(*model, marks=[pytest.mark.long] * is_large(*model)) for model in ALL],
)
def test_every_shipped_model_is_measured_again(
    version: ZooVersion, name: str, variant: str
) -> None:
    """On one of its strata: `models check` takes all."""
    assert check_model(shipped(version), name, variant, n_strata=1) == ()


@pytest.mark.parametrize("version", VARIANTS)
def test_the_shipped_models_are_small(version: ZooVersion) -> None:
    files = (p for p in shipped(version).folder.rglob("*") if p.is_file())
    assert sum(p.stat().st_size for p in files) < LIMIT


@pytest.mark.parametrize("version", VARIANTS)
def test_every_folder_is_a_model_that_is_listed_and_not_missing(version: ZooVersion) -> None:
    shelf, listed = shipped(version), {model[1:] for model in ALL if model[0] == version}
    folders = {p.parent for p in shelf.folder.glob("*/*/*") if ".work" not in p.parts}
    assert folders == {shelf.place(*model) for model in listed}
    missing = {(name, v) for name, variants in shelf.missing().items() for v in variants}
    assert not missing & listed


def test_a_model_is_loaded_with_all_that_belongs_to_it() -> None:
    trained = kc.load_model(NAME, zoo=1)
    assert trained.certificate is not None
    assert trained.certificate.passed
    assert trained.case.name == NAME
    assert trained.training["config"]["seed"] == 0
    assert trained.training["steps"] > 0
    assert trained.circuit == trained.correspondence.circuit
    assert not any(p.requires_grad for p in trained.model.parameters())
    assert NAME in kc.list_models("structural", zoo=1)


@pytest.mark.parametrize(
    ("name", "variant", "message"),
    [
        ("fraction_of_y", "seed0", "unknown case 'fraction_of_y'; did you mean fraction_of_x"),
        (NAME, "seed00", "unknown variant of zoo 1 'seed00'; did you mean seed0"),
    ],
)
def test_unknown_names(name: str, variant: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        kc.load_model(name, variant, zoo=1)


def test_models_are_described_by_their_certificates() -> None:
    models = shipped(1).among([NAME, "histogram"], ["seed1", "seed0"])
    assert models == [(n, kind) for kind in ("seed1", "seed0") for n in (NAME, "histogram")]
    for (name, variant), row in zip(models, describe_models(shipped(1), models), strict=True):
        trained = kc.load_model(name, variant, zoo=1)
        certificate = trained.certificate
        assert certificate is not None
        assert (row["case"], row["variant"]) == (name, variant)
        assert row["layers"] == trained.model.config.n_layers
        assert row["edges_in"] == len(trained.circuit.edges())
        assert row["accuracy"] == certificate.accuracy.share
        assert row["smallest_inside_effect"] == certificate.smallest_inside_effect[1]


def test_the_best_attempt_stands_for_a_missing_model(zoo: Zoo) -> None:
    attempts = [{"reason": "2 thresholds missed", "steps": 9}, {"reason": "worse", "steps": 5}]
    zoo.write_missing({"histogram": {"seed0": attempts, "seed1": []}, "reverse": {"seed0": []}})
    best = {"case": "histogram", "variant": "seed0", "steps": 9, "reason": "2 thresholds missed"}
    assert best_attempts(zoo, ["histogram", "reverse"], list(VARIANTS[1])) == [best]
    assert best_attempts(zoo, ["histogram"], ["seed1"]) == []
    assert best_attempts(zoo, ["reverse"], ["seed0"]) == []


def test_unknown_suites_and_variants_are_not_listed() -> None:
    with pytest.raises(UnknownNameError, match="unknown suite"):
        kc.list_models("none", zoo=1)
    with pytest.raises(UnknownNameError, match="unknown variant of zoo 1"):
        kc.list_models(variant="none", zoo=1)


def test_a_case_without_a_model_says_why(zoo: Zoo) -> None:
    with pytest.raises(ModelError, match="model seed0 of histogram in zoo 1; `knowncircuits tra"):
        zoo.load("histogram")
    with pytest.raises(ModelError, match=rf"seed1 of {NAME} in zoo 1 \(but seed0\); `knowncirc"):
        zoo.load(NAME, "seed1")
    zoo.write_missing({"histogram": {"seed0": [{"reason": "3 thresholds missed"}]}})
    with pytest.raises(ModelError, match=r"tried in vain: 3 thresholds missed \(missing.json\);"):
        zoo.load("histogram")
    zoo.write_missing({"histogram": {"seed0": [{"reason": "not trained yet", "steps": 0}]}})
    with pytest.raises(ModelError, match=r"histogram in zoo 1; not trained yet \(missing.json\);"):
        zoo.load("histogram")


@pytest.mark.parametrize("text", ["[", "[]", '{"histogram": {"seed0": 3}}'])
def test_a_broken_list_of_missing_models(zoo: Zoo, text: str) -> None:
    (zoo.folder / "missing.json").write_text(text)
    with pytest.raises(ResultError, match="expected attempts by case and variant"):
        zoo.missing()


def test_other_weights_are_found_by_their_hash(zoo: Zoo) -> None:
    leak(zoo.place(NAME, "seed0"))
    (problem,) = check_model(zoo, NAME, "seed0")
    assert "expected a certificate of weights" in problem


def test_weights_with_a_forged_certificate_are_found_by_measuring(zoo: Zoo) -> None:
    folder = zoo.place(NAME, "seed0")
    certificate = load_trained(folder).certificate
    assert certificate is not None
    (folder / "certificate.json").unlink()
    leak(folder)
    weights = weights_hash(load_trained(folder).model)
    replace(certificate, weights=weights).write(folder / "certificate.json")
    problems = check_model(zoo, NAME, "seed0")
    assert any(problem.startswith("edges outside:") for problem in problems)


def test_files_that_disagree_are_found(zoo: Zoo) -> None:
    folder = zoo.place(NAME, "seed0")
    trained = load_trained(folder)
    certificate = trained.certificate
    assert certificate is not None

    edit(folder / "certificate.json", compiled_weights="0" * 64)
    assert "compiled weights" in check_model(zoo, NAME, "seed0")[0]
    certificate.write(folder / "certificate.json")
    edit(folder / "certificate.json", n_pairs=CERTIFIED_PAIRS - 1, inputs="test inputs")
    assert any("20000 pairs, got 19999" in p for p in check_model(zoo, NAME, "seed0"))
    edge = trained.circuit.edges()[0]
    replace(certificate, labels={**certificate.labels, edge: "out"}).write(
        folder / "certificate.json"
    )
    assert any("the placement's labels" in p for p in check_model(zoo, NAME, "seed0"))
    (folder / "certificate.json").unlink()
    assert check_model(zoo, NAME, "seed0") == ("expected certificate.json, got none",)
    (folder / "circuit.json").unlink()
    assert "expected a JSON file of a graph" in check_model(zoo, NAME, "seed0")[0]
    save_trained(trained, folder)
    assert check_model(zoo, NAME, "seed0") == ()
    shutil.copytree(folder, zoo.place("histogram", "seed0"))
    assert (
        "expected a model and a certificate of histogram"
        in (check_model(zoo, "histogram", "seed0")[0])
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sets": {}}, "expected 4 sets in the certificate, got 0"),
        ({"nodes": {}}, "expected 12 nodes in the certificate, got 0"),
        ({"ablations": {}}, "expected 2 ablations in the certificate, got 0"),
        ({"atol": 1e9}, "expected a certificate with a tolerance of 0.05, got 1000000000.0"),
        ({"n_pairs": 2, "inputs": "all pairs"}, "got one of all pairs (2, of 256)"),
        ({"n_inputs": 7}, "of 256 inputs), got one of a sample of all pairs (20000, of 7)"),
        ({"passed": False}, "expected shares and failures in certificate.json as its counts"),
    ],
)
def test_edited_certificates_are_found(zoo: Zoo, changes: dict[str, Any], problem: str) -> None:
    edit(zoo.place(NAME, "seed0") / "certificate.json", **changes)
    problems = check_model(zoo, NAME, "seed0")
    assert any(problem in found for found in problems), problems


def test_counts_that_no_measurement_gives_are_found(zoo: Zoo) -> None:
    path = zoo.place(NAME, "seed0") / "certificate.json"
    document = json.loads(path.read_text())
    document["edges"]["embed->m0"]["agreeing"] = 10**9
    path.write_text(json.dumps(document))
    problems = check_model(zoo, NAME, "seed0")
    assert any("edges embed->m0: expected counts of 20000 pairs" in p for p in problems)


def test_a_model_of_zoo_2_says_none_where_its_program_does(tmp_path: Path) -> None:
    """Models of zoo 1 may say anything there, but for one."""
    for name, lacks_it in (
        ("trend", True),
        ("histogram", False),
        ("drop_repeated_neighbour", False),
    ):
        shutil.copytree(shipped(1).place(name, "seed0"), tmp_path / name / "seed0")
        problems = check_model(Zoo(tmp_path, 2), name, "seed0")
        assert any('an answer "none"' in problem for problem in problems) == lacks_it


def found(pairs: int, wrong: int, positions: int = 10) -> Agreement:
    """Each wrong pair is wrong at one position."""
    return Agreement(pairs * positions, pairs * positions - wrong, pairs, pairs - wrong)


def test_no_model_of_zoo_2_is_another_one_by_a_second_name(tmp_path: Path) -> None:
    """Zoo 1's models under the other number: four of its cases are others' by another name."""
    models = [model for model in OF_ZOO_1 if model[1] == "seed0"]
    assert find_duplicates(shipped(1), models) == {}
    found = find_duplicates(Zoo(shipped(1).folder, 2), models)
    assert {name: problem for (name, _), problem in found.items()} == {
        "median": "expected a case of its own, got median_variant by another name",
        "occurrences": "expected a case of its own, got frequency by another name",
        "square": "expected a case of its own, got identity by another name",
        "tanh": "expected a case of its own, got identity by another name",
    }
    zoo = Zoo(tmp_path, 2)
    for variant in ("seed0", "seed1"):
        shutil.copytree(shipped(1).place(NAME, "seed0"), zoo.place(NAME, variant))
    both = [(NAME, "seed0"), (NAME, "seed1")]
    assert find_duplicates(zoo, both) == {
        (NAME, "seed1"): f"expected weights of its own, got those of {NAME} seed0"
    }
    checked = runner.invoke(app, ["models", "check", "--folder", str(tmp_path), "--zoo", "2"])
    assert checked.exit_code == 1
    assert f"{NAME} seed1: expected weights of its own" in checked.output
    (zoo.place(NAME, "seed0") / "certificate.json").unlink()
    assert find_duplicates(zoo, both) == {}


def test_few_pairs_are_no_proof() -> None:
    """By chance a model at the threshold is called a failure seldom enough, and a bad one is not.

    The tail is summed here term by term, with each pair as often wrong as the threshold allows.
    """
    alarm = FALSE_ALARM / 30
    missed = [is_missed(found(PAIRS, wrong), EVERY_EDGE, alarm) for wrong in range(PAIRS + 1)]
    least = missed.index(True)
    assert missed == [False] * least + [True] * (PAIRS + 1 - least)
    p = 10 * (1 - EVERY_EDGE)

    def tail(wrong: int) -> float:
        return sum(comb(PAIRS, k) * p**k * (1 - p) ** (PAIRS - k) for k in range(wrong, PAIRS + 1))

    assert tail(least) < alarm <= tail(least - 1)
    assert not is_missed(found(PAIRS, 3), EVERY_EDGE, alarm)  # 99.88%: no proof of a miss
    assert is_missed(found(PAIRS, PAIRS // 10), EVERY_EDGE, alarm)
    assert is_missed(Agreement(), EVERY_EDGE, alarm)  # nothing was measured


def test_positions_that_are_wrong_together_raise_no_alarm() -> None:
    """Pairs wrong everywhere or nowhere, as often as the threshold allows."""
    rng = np.random.default_rng(0)
    wrong = rng.binomial(PAIRS, 1 - EVERY_EDGE, size=2000)
    alarms = [
        is_missed(Agreement(PAIRS * 10, (PAIRS - w) * 10, PAIRS, PAIRS - w), EVERY_EDGE, 0.01)
        for w in map(int, wrong)
    ]
    assert np.mean(alarms) <= 0.01


def test_summaries_count_what_is_not_measured_as_worst() -> None:
    certificate = kc.load_model(NAME, zoo=1).certificate
    assert certificate is not None
    summary = Summary.of(certificate)
    assert (summary.edges_in, summary.edges_out) == (3, 105)
    assert summary.accuracy == certificate.accuracy.share
    inside = {e: a.share for e, a in certificate.edges.items() if certificate.labels[e] == "in"}
    assert summary.worst_inside[1] == min(inside.values())
    nothing = {**certificate.edges, "embed->m0": Agreement()}
    assert Summary.of(replace(certificate, edges=nothing)).worst_inside == ("embed->m0", None)
    assert Summary.of(replace(certificate, sets={})).all_outside == 1.0


@pytest.mark.parametrize("version", VARIANTS)
def test_every_shipped_recipe_can_be_followed(version: ZooVersion) -> None:
    recipes = json.loads(shipped(version).recipes.read_text())
    for name in recipes:
        if name.startswith(EVERY):
            continue
        for variant in recipes[name]:
            plan_model(name, variant, version)


@pytest.mark.usefixtures("no_shape_checks")
def test_only_zoos_that_there_are_can_be_asked_for() -> None:
    with pytest.raises(InputError, match="expected zoo 1 or 2, got 3"):
        kc.load_model(NAME, zoo=3)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no trained model seed0 of palindrome in zoo 2"):
        Zoo(Path("nowhere"), 2).load("palindrome")


def test_models_on_the_command_line(zoo: Zoo) -> None:
    first = runner.invoke(app, ["models", "--zoo", "1"])
    assert first.exit_code == 0, first.output
    rows = [line.split() for line in first.output.splitlines()]
    assert any(row[:4] == [NAME, "seed0", "2x4x12", "3/105"] for row in rows)
    listed = set(kc.list_cases())
    assert f"{sum(name in listed for name, _ in OF_ZOO_1)} models" in first.output

    attempt = {"reason": "2 thresholds missed", "steps": 10}
    zoo.write_missing({"histogram": {"seed0": [attempt]}, "reverse": {"seed1": [attempt]}})
    folder = ["--folder", str(zoo.folder), "--zoo", "1"]
    listed = runner.invoke(app, ["models", "list", *folder, "--variant", "seed0"])
    assert "1 models" in listed.output
    assert "1 could not be certified" in listed.output
    good = runner.invoke(app, ["models", "check", *folder])
    assert (good.exit_code, good.output.strip()) == (0, "1 models, 0 with problems")
    leak(zoo.place(NAME, "seed0"))
    bad = runner.invoke(app, ["models", "check", *folder])
    assert bad.exit_code == 1
    assert f"{NAME} seed0: " in bad.output
    assert "1 models, 1 with problems" in bad.output


def test_strata_on_the_command_line() -> None:
    """The numbers are those of the certificate, which says more than the table."""
    certificate = shipped(2).load("trend", "seed0").certificate
    assert certificate is not None
    options = ["--zoo", "2", "-c", "trend", "--variant", "seed0", "--format", "csv"]
    listed = pd.read_csv(io.StringIO(runner.invoke(app, ["models", "strata", *options]).stdout))
    assert [*listed["stratum"]] == [*certificate.strata]
    for row, measured in zip(listed.itertuples(), certificate.strata.values(), strict=True):
        assert row.pairs == measured.n_pairs
        assert row.worst_inside == min(found.share for found in measured.edges.values())
        assert row.largest_change == max(found.share for found in measured.own.values())
    invoked = runner.invoke(app, ["models", "strata", *options, "--answers"])
    answers = pd.read_csv(io.StringIO(invoked.stdout), keep_default_na=False).set_index("answer")
    assert {*answers.index} == {"None", "'constant'", "'increasing'", "'decreasing'"}
    found = certificate.strata["balanced"].answers
    assert {**answers["positions"]} == {name: here.positions for name, here in found.items()}
    of_zoo_1 = runner.invoke(app, ["models", "strata", "--zoo", "1", "-c", "trend"])
    assert isinstance(of_zoo_1.exception, InputError)
    assert "expected certificates with strata" in str(of_zoo_1.exception)
