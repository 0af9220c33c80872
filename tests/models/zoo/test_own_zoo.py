"""Zoos of users: folders of models, by option, by argument and by the environment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowncircuits.cases import list_cases
from knowncircuits.cli import app
from knowncircuits.errors import InputError, UnknownNameError
from knowncircuits.evaluation.runs import read_results
from knowncircuits.models import list_models, load_model
from knowncircuits.models.zoo import find_zoo, shipped

runner = CliRunner()


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of ours by a variant's name of one's own, and one whose case nobody knows."""
    monkeypatch.chdir(tmp_path)
    for name in ("sign", "nobodys"):
        shutil.copytree(shipped(2).place("sign", "seed0"), tmp_path / "zoo" / name / "narrow")
    return tmp_path / "zoo"


def test_a_folder_is_a_zoo(zoo: Path) -> None:
    assert find_zoo(zoo).cases == ("nobodys", "sign")
    assert find_zoo(zoo).variants == ("narrow",)
    assert list_models("all", "narrow", zoo=zoo) == ["sign"]
    found = load_model("sign", "narrow", zoo=str(zoo))
    assert found.certificate == load_model("sign", zoo=2).certificate
    with pytest.raises(UnknownNameError, match=r"variant of the zoo .*'seed0'; known: narrow"):
        load_model("sign", zoo=zoo)
    with pytest.raises(UnknownNameError, match="unknown case 'nobodys'"):
        load_model("nobodys", "narrow", zoo=zoo)


def test_the_environment_says_the_default(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_zoo() == shipped(1)
    monkeypatch.setenv("KNOWNCIRCUITS_ZOO", "2")
    assert find_zoo() == shipped(2) == find_zoo("2")
    monkeypatch.setenv("KNOWNCIRCUITS_ZOO", str(zoo))
    assert find_zoo().folder == zoo
    assert find_zoo(1) == shipped(1)
    monkeypatch.setenv("KNOWNCIRCUITS_ZOO", "nowhere")
    with pytest.raises(InputError, match="expected zoo 1, 2 or a folder of models, got 'nowhere'"):
        load_model("sign")


def test_commands_take_one(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = runner.invoke(app, ["models", "list", "--zoo", "zoo", "--format", "csv"])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert "sign,narrow," in done.output
    scored = ["score", "exact", "--pairs", "5", "--variant", "narrow"]
    done = runner.invoke(app, [*scored, "--zoo", "zoo"])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert "left out: nobodys, which is not known" in done.output
    (result,) = read_results("results")
    assert result.own  # in no mean over shipped models
    assert result.zoo is None
    assert result.variant.startswith("own-narrow-")
    monkeypatch.setenv("KNOWNCIRCUITS_ZOO", "zoo")
    again = runner.invoke(app, scored)
    assert "1 of them reused" in again.output
    done = runner.invoke(app, ["effects", "sign", "--variant", "narrow", "--inputs", "4"])
    assert done.exit_code == 0, f"{done.output} {done.exception}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "eap", "--zoo", "3"], "expected zoo 1, 2 or a folder of models, got '3'"),
        (["score", "eap", "--zoo", "zoo"], "unknown variant of the zoo zoo 'seed0'"),
        (["train", "sign", "--zoo", "zoo"], "is not one of"),
        (["models", "train", "--zoo", "zoo"], "expected the number of a release for --zoo"),
        (["score", "eap", "--zoo", "zoo", "--compiled"], "expected one of --variant"),
    ],
)
def test_what_is_no_zoo(arguments: list[str], message: str, zoo: Path) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code
    assert message in f"{done.output} {done.exception}"


def test_shipped_models_are_of_the_zoo_that_is_named() -> None:
    assert list_models(zoo=1) == [name for name in list_cases() if shipped(1).holds(name, "seed0")]
