"""A board of a user's own certified models, from scores to the site."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowncircuits.cases import own
from knowncircuits.cli.app import app
from knowncircuits.errors import InputError, ResultError, SubmissionError
from knowncircuits.leaderboard import read_submission
from knowncircuits.leaderboard.slices import HEADLINE, list_slices
from knowncircuits.leaderboard.truth import certified_models, own_models
from knowncircuits.models.zoo.shelf import Zoo, find_zoo

SHIPPED, CASE, VARIANT = "fraction_of_x", "my_fraction", "mine"
FILE = f"""
from dataclasses import replace
from knowncircuits import load_case

mine = replace(load_case({SHIPPED!r}), name={CASE!r}, family="own")
"""


@pytest.fixture
def zoo(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """A shipped model as one of an own case, and another without a certificate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own, "_added", {})
    monkeypatch.setattr(own, "_sources", {})
    Path("mine.py").write_text(FILE)
    folder = tmp_path / "zoo" / CASE
    shutil.copytree(root / "models" / "zoo1" / SHIPPED / "seed0", folder / VARIANT)
    for name in ("config.json", "certificate.json"):
        path = folder / VARIANT / name
        path.write_text(path.read_text().replace(f'"case": "{SHIPPED}"', f'"case": "{CASE}"'))
    shutil.copytree(folder / VARIANT, folder / "uncertified")
    (folder / "uncertified" / "certificate.json").unlink()
    return find_zoo(folder.parent)


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    if isinstance(done.exception, Exception):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_users_own_models_have_a_board(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ("-c", "mine.py:mine")
    methods = ("exact", "shortness")
    run("score", *methods, "--pairs", "10", "--zoo", "zoo", "--variant", VARIANT, *case)
    for method in methods:
        run("submit", f"results/{method}", "--zoo", "zoo")
    submissions = tmp_path / "submissions"
    with pytest.raises(SubmissionError, match="got own ones; --zoo FOLDER"):
        read_submission(submissions / "own" / "exact")
    assert "1 of 1 structural models of a zoo of one's own" in run(
        "leaderboard", "validate", submissions, "--zoo", "zoo"
    )
    monkeypatch.setenv("KNOWNCIRCUITS_ZOO", "zoo")
    table = run("leaderboard", "table", submissions, "--format", "csv").splitlines()
    assert [line.split(",")[0] for line in table] == ["method", "exact", "shortness"]
    assert run("leaderboard", "build", submissions, *case).endswith("0 refused, 10 pages\n")
    page = (tmp_path / "site" / "cases" / f"{CASE}.html").read_text()
    assert f'variant="{VARIANT}", zoo="FOLDER"' in page
    assert (tmp_path / "site" / "models" / CASE / VARIANT / "model.safetensors").is_file()


def test_only_certified_models_are_boarded(zoo: Zoo, tmp_path: Path) -> None:
    models = own_models(zoo)
    assert [*models] == [f"{CASE}/{VARIANT}"]
    shutil.rmtree(zoo.place(CASE, VARIANT))
    with pytest.raises(InputError, match="expected certified models in the zoo .*, got none"):
        own_models(zoo)
    with pytest.raises(ResultError, match="expected the folder of the user's own models"):
        certified_models("own")


def test_cases_of_ones_own_are_structural(zoo: Zoo) -> None:
    (model,) = own_models(zoo).values()
    slices = list_slices({"seen/a": replace(model, case="seen")})
    assert [(s.key, s.cases) for s in slices] == [(HEADLINE, ("seen",)), ("all", ("seen",))]
