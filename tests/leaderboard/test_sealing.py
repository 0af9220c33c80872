"""Sealed sets: committed to, published, verified and scored on; what is wrong is named."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowncircuits.cases import own
from knowncircuits.cases.drawing import Shape
from knowncircuits.cases.generated import SHIPPED
from knowncircuits.cases.written import read_written
from knowncircuits.cli import app
from knowncircuits.errors import ResultError
from knowncircuits.leaderboard.sealing import (
    commit,
    make_set,
    open_set,
    read_commitment,
    verify,
    write_commitment,
)

PAGE = Path(__file__).parents[2] / "docs" / "sealed.md"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own, "_added", {})
    monkeypatch.setattr(own, "_sources", {})
    return None


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A folder of a few files, one of them below it, sealed."""
    folder = tmp_path / "set"
    (folder / "models").mkdir(parents=True)
    (folder / "programs.json").write_text("{}")
    (folder / "models" / "weights.json").write_text("[1, 2]")
    write_commitment(commit(folder, "2027"), tmp_path / "seal.json")
    return folder


def test_a_set_is_as_was_committed_to(sealed: Path) -> None:
    said = read_commitment(Path("seal.json"))
    assert (said.release, said.files) == ("2027", 2)
    assert verify(sealed, said) == ()
    shutil.copytree(sealed, "published")
    assert verify(Path("published"), said) == ()


def test_what_is_changed_missing_or_new_is_named(sealed: Path) -> None:
    said = read_commitment(Path("seal.json"))
    (sealed / "models" / "weights.json").write_text("[1, 3]")
    assert verify(sealed, said) == ("models/weights.json: changed",)
    (sealed / "programs.json").unlink()
    (sealed / "models" / "more.json").write_text("")
    assert verify(sealed, said) == (
        "models/more.json: not in the manifest",
        "models/weights.json: changed",
        "programs.json: missing",
    )
    with pytest.raises(ResultError, match=r"expected the set of 2027, got another: models/more"):
        open_set(sealed, said)


def test_a_manifest_that_was_changed_with_the_file_is_another(sealed: Path) -> None:
    said, manifest = read_commitment(Path("seal.json")), sealed / "manifest.json"
    document = json.loads(manifest.read_text())
    (sealed / "programs.json").write_text("{ }")
    document["files"]["programs.json"] = "0" * 64
    manifest.write_text(json.dumps(document))
    assert verify(sealed, said) == ("manifest.json: not the one that was committed to",)
    manifest.unlink()
    assert verify(sealed, said) == ("manifest.json: missing",)


def test_equal_sets_have_commitments_of_their_own(sealed: Path) -> None:
    shutil.copytree(sealed, "other")
    with pytest.raises(ResultError, match="expected a folder that is not sealed"):
        commit(Path("other"), "2027")
    Path("other/manifest.json").unlink()
    assert commit(Path("other"), "2027") != read_commitment(Path("seal.json"))


def test_what_cannot_be_sealed(sealed: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(ResultError, match="expected files to seal, got none"):
        commit(Path("empty"), "2027")
    with pytest.raises(ResultError, match="expected a folder, got nowhere"):
        commit(Path("nowhere"), "2027")
    (Path("empty") / "link").symlink_to(sealed / "programs.json")
    with pytest.raises(ResultError, match="cannot be read"):
        commit(Path("empty"), "2027")
    with pytest.raises(ResultError, match="expected a commitment, got"):
        read_commitment(sealed / "programs.json")
    with pytest.raises(ResultError, match="without a sealed set"):
        make_set(sealed, 1, [Shape(2, 2, 1)])


def test_the_documented_way_from_a_set_to_scores() -> None:
    """The page's commands in their order, on one small program and without trained models."""
    few = ["-n", "1", "--size", "2", "--depth", "2", "--fan-in", "1", "--seeds", "2"]
    Path("my-method").mkdir()
    Path("my-method/script.py").write_text(
        "def method(task):\n    return dict.fromkeys(task.graph.edges, 1.0)\n"
    )
    ran = []
    for command in re.findall(r"^ +knowncircuits (seal .*)$", PAGE.read_text(), re.MULTILINE):
        words = shlex.split(command)
        done = CliRunner().invoke(app, [*words, *(few if words[1] == "make" else [])])
        assert done.exit_code == 0, f"{command}\n{done.output}{done.exception}"
        ran.append(words[1])
    assert ran == ["make", "commit", "commit", "verify", "verify", "score"]
    (program,) = read_written("set-2027/programs.json")
    assert program not in read_written(SHIPPED)
    seeds = json.loads(Path("set-2027/seeds.json").read_text())["pairs"]
    assert len(set(seeds)) == 2
    found = {path.relative_to("sealed") for path in Path("sealed").rglob("*.json")}
    assert {path.parts[1:] for path in found if path.parts[0] == "exact"} == {
        (program.name, "compiled", f"{seed}.json") for seed in seeds
    }
    Path("set-2027/seeds.json").write_text('{"programs": 1, "pairs": [1]}')
    refused = CliRunner().invoke(app, ["seal", "verify", "set-2027", "set-2027.json"])
    assert refused.exit_code == 1
    assert "seeds.json: changed" in refused.output
