"""Push and pull, to a hub on this machine and to folders; and what is refused on the way."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from hub_server import Hub, Repository, run_hub
from knowncircuits.cli import app
from knowncircuits.errors import InputError, ResultError, SubmissionError
from knowncircuits.leaderboard.hub import pull, push
from knowncircuits.leaderboard.hub.manifest import MANIFEST
from knowncircuits.leaderboard.submission import Submission, read_submissions, write_submission
from knowncircuits.leaderboard.truth import Certified
from knowncircuits.models.trained import load_trained
from knowncircuits.models.zoo.shelf import shipped

Models = Mapping[str, Certified]
Make = Callable[..., Submission]
EVIL = "a|b <img src=x onerror=alert(1)> [x](http://x)"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with run_hub() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.address)
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
        yield hub


@pytest.fixture(scope="module")
def submissions(make: Make, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    for name, title in (("one", "One"), ("evil", EVIL)):
        made = make(name, title=title, keys=("fraction_of_x/seed0", "identity/seed0"))
        write_submission(made, folder / "zoo1", models)
    return folder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for key in ("fraction_of_x/seed0", "identity/seed0"):
        shutil.copytree(shipped(1).folder / key, folder / key)
    return folder


@pytest.fixture
def pushed(submissions: Path, tmp_path: Path) -> Path:
    """A pushed folder that a test may break."""
    push("submissions", submissions, str(tmp_path / "pushed"))
    return tmp_path / "pushed"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def without_manifest(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if name != MANIFEST}


def test_submissions_to_the_hub_and_back(hub: Hub, submissions: Path, tmp_path: Path) -> None:
    push("submissions", submissions, "hf:ada/subs", private=True)
    repository = hub.repositories["dataset", "ada/subs"]
    assert repository.private
    assert {"README.md", "croissant.json", "eval.yaml", "index.csv", MANIFEST} <= {
        *repository.files
    }
    assert len(repository.commits) == 2  # made, and one commit
    pull("submissions", "hf:ada/subs", tmp_path / "back")
    assert without_manifest(tmp_path / "back") == contents(submissions)
    read, refused = read_submissions(tmp_path / "back")
    assert [s.id for s in read] == ["evil", "one"]
    assert not refused


def test_models_to_the_hub_and_back(hub: Hub, zoo: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["push", "models", str(zoo), "hf:ada/models"])
    assert done.exit_code == 0, done.output
    assert f"models: {hub.address}/ada/models/commit/" in done.output
    commit = hub.repositories["model", "ada/models"].head
    # What comes later is not in an earlier commit, and what goes is gone from the next one.
    fewer = tmp_path / "fewer"
    shutil.copytree(zoo / "identity", fewer / "identity")
    push("models", fewer, "hf:ada/models")
    back = tmp_path / "back"
    line = ["pull", "models", "hf:ada/models", str(back), "--revision", commit]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    assert without_manifest(back) == contents(zoo)
    certificate = load_trained(back / "fraction_of_x" / "seed0").certificate
    assert certificate is not None
    assert certificate.passed
    pull("models", "hf:ada/models", back)
    assert not (back / "fraction_of_x").exists()


def test_what_the_hub_has_not(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="hf:ada/none: the hub says:"):
        pull("models", "hf:ada/none", tmp_path / "a")
    hub.repositories["model", "ada/empty"] = Repository()
    with pytest.raises(ResultError, match="ada/empty: expected knowncircuits.json, got none"):
        pull("models", "hf:ada/empty", tmp_path / "a")
    for place in ("hf:ada", "hf:../x/y", "hf:a/b/c"):
        with pytest.raises(InputError, match="expected hf:OWNER/NAME"):
            pull("models", place, tmp_path / "a")
    with pytest.raises(InputError, match="with a revision or private"):
        pull("models", str(tmp_path), tmp_path / "a", revision="main")
    assert not (tmp_path / "a").exists()


def test_results_by_way_of_a_folder(tmp_path: Path) -> None:
    line = ["score", "random", "-c", "identity", "--zoo", "1", "--pairs", "5"]
    assert CliRunner().invoke(app, [*line, "-o", str(tmp_path / "results")]).exit_code == 0
    push("results", tmp_path / "results", str(tmp_path / "pushed"))
    pull("results", str(tmp_path / "pushed"), tmp_path / "back")
    assert without_manifest(tmp_path / "back") == contents(tmp_path / "results")
    assert pd.read_csv(tmp_path / "pushed" / "index.csv")["label"].tolist() == ["random"]


def test_a_board_is_a_static_space(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "assets").mkdir(parents=True)
    (site / "index.html").write_text("<!doctype html>")
    (site / "assets" / "board.js").write_text("0;")
    (site / ".knowncircuits").touch()
    push("board", site, str(tmp_path / "space"))
    card = (tmp_path / "space" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert (head["sdk"], head["app_file"]) == ("static", "index.html")
    assert {"index.html", "assets/board.js"} <= contents(tmp_path / "space").keys()
    with pytest.raises(ResultError, match="got no index.html"):
        push("board", site / "assets", str(tmp_path / "other"))


ONE = "zoo1/one/submission.json"
TABLE = "zoo1/one/scores/identity/seed0.csv"


def listed(name: str, **entry: object) -> Callable[[dict[str, Any]], object]:
    """A manifest that lists a file, or says something else of it."""

    def change(document: dict[str, Any]) -> None:
        known = document["files"].get(name, {"size": 1, "sha256": ""})
        document["files"][name] = {**known, **entry}

    return change


def saying(**fields: object) -> Callable[[dict[str, Any]], object]:
    """A manifest with other fields."""
    return lambda document: document.update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (listed("../x.json"), "within the folder"),
        (listed("/etc/x.json"), "within the folder"),
        (listed("a\\..\\x.json"), "within the folder"),
        (listed(".git/x.json"), "within the folder"),
        (listed("model.pkl"), "as .json, .csv, got model.pkl"),
        (listed("a.json", size=10**12), "files of up to 250000000 bytes"),
        (listed("a.json", size=-1), "files of up to 250000000 bytes"),
        (listed("there/is.json"), "expected a pushed file"),
        (listed(ONE, sha256="0" * 64), f"expected {ONE} of"),
        (listed(ONE, size=5), "got .* bytes, more than 5"),
        (lambda document: document["files"].pop(TABLE), "one is refused"),
        (saying(kind="models"), "expected submissions, got models"),
        (saying(format=2), "expected format 1, got 2"),
        (saying(kind="pickles"), "expected knowncircuits.json of a push"),
        (saying(files=[]), "expected knowncircuits.json of a push"),
    ],
)
def test_what_is_refused_leaves_nothing(
    change: Callable[[dict[str, Any]], object], message: str, pushed: Path, tmp_path: Path
) -> None:
    document = json.loads((pushed / MANIFEST).read_text())
    change(document)
    (pushed / MANIFEST).write_text(json.dumps(document))
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises((ResultError, SubmissionError), match=message):
        pull("submissions", str(pushed), tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_changed_files_are_refused_and_an_earlier_pull_stays(pushed: Path, tmp_path: Path) -> None:
    back = pull("submissions", str(pushed), tmp_path / "back")
    before = contents(back)
    table = pushed / TABLE
    table.write_bytes(table.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(ResultError, match=rf"expected {TABLE} of \d+ bytes"):
        pull("submissions", str(pushed), back)
    assert contents(back) == before


def test_weights_without_their_certificate_are_refused(zoo: Path, tmp_path: Path) -> None:
    """Hashes that are right do not make a certificate that of other weights."""
    push("models", zoo, str(tmp_path / "pushed"))
    place = tmp_path / "pushed" / "fraction_of_x" / "seed0" / "model.safetensors"
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    manifest = tmp_path / "pushed" / MANIFEST
    document = json.loads(manifest.read_text())
    said = document["files"]["fraction_of_x/seed0/model.safetensors"]
    said["sha256"] = hashlib.sha256(data).hexdigest()
    manifest.write_text(json.dumps(document))
    with pytest.raises(ResultError, match="certificate"):
        pull("models", str(tmp_path / "pushed"), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_other_files_are_not_pushed(zoo: Path, submissions: Path, tmp_path: Path) -> None:
    shutil.copytree(zoo, tmp_path / "zoo")
    (tmp_path / "zoo" / "model.pt").write_bytes(b"\x80")
    with pytest.raises(ResultError, match="expected models as .json, .safetensors, got model.pt"):
        push("models", tmp_path / "zoo", str(tmp_path / "pushed"))
    (tmp_path / "zoo" / "model.pt").unlink()
    (tmp_path / "zoo" / "link.json").symlink_to("/etc/hostname")
    with pytest.raises(ResultError, match=r"a symbolic link: link.json"):
        push("models", tmp_path / "zoo", str(tmp_path / "pushed"))
    with pytest.raises(ResultError, match="expected a folder of submissions, got one submission"):
        push("submissions", submissions / "zoo1" / "one", str(tmp_path / "pushed"))
    (tmp_path / "none").mkdir()
    with pytest.raises(ResultError, match="got no files"):
        push("results", tmp_path / "none", str(tmp_path / "pushed"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ResultError, match="expected a new folder, or that of an earlier pull"):
        pull("models", str(zoo), tmp_path / "mine")
    assert not (tmp_path / "pushed").exists()


def test_cards_and_tables_say_what_is_there(pushed: Path, submissions: Path) -> None:
    card = (pushed / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "apache-2.0"
    assert head["configs"] == [{"config_name": "default", "data_files": "index.csv"}]
    assert "<img" not in card
    assert "[x](" not in card
    index = pd.read_csv(pushed / "index.csv")
    read, _ = read_submissions(submissions)
    assert index["title"].tolist() == [s.description.title for s in read]
    assert index["models"].tolist() == [2, 2]
    benchmark = yaml.safe_load((pushed / "eval.yaml").read_text())
    assert {"name", "description", "evaluation_framework", "tasks"} == benchmark.keys()
    assert benchmark["tasks"][0]["id"] == "structural_auroc"


def test_croissant_lists_the_files_and_columns(pushed: Path) -> None:
    document = json.loads((pushed / "croissant.json").read_text())
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    for file in document["distribution"]:
        data = (pushed / file["contentUrl"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file["contentSize"] == f"{len(data)} B"
    listed = {file["contentUrl"] for file in document["distribution"]}
    own = {MANIFEST, "README.md", "eval.yaml", "croissant.json"}
    assert listed == contents(pushed).keys() - own
    fields = document["recordSet"][0]["field"]
    index = pd.read_csv(pushed / "index.csv")
    assert [field["source"]["extract"]["column"] for field in fields] == list(index.columns)


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("mlcroissant") is None, reason="needs mlcroissant")
def test_mlcroissant_reads_it(pushed: Path) -> None:
    """In a process of its own, since it warns of other packages."""
    code = (
        "import sys, mlcroissant\n"
        "data = mlcroissant.Dataset(jsonld=sys.argv[1])\n"
        "print([record['index/id'].decode() for record in data.records('index')])\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(pushed / "croissant.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['evil', 'one']"
    assert "error" not in done.stderr.lower()
