"""Whole submissions: written and read back, and refused for everything that is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowncircuits.errors import ResultError, SubmissionError
from knowncircuits.leaderboard import submission as module
from knowncircuits.leaderboard.submission import (
    Submission,
    find_submissions,
    read_submission,
    read_submissions,
    write_submission,
)
from knowncircuits.leaderboard.truth import Certified

Models = Mapping[str, Certified]
Make = Callable[..., Submission]
KEY = "fraction_of_x/seed0"


@pytest.fixture
def place(make: Make, models: Models, tmp_path: Path) -> Path:
    return write_submission(make(keys=(KEY, "identity/seed0")), tmp_path, models)


def edit(place: Path, **fields: Any) -> None:
    path = place / "submission.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def problems(place: Path, models: Models) -> list[str]:
    with pytest.raises(SubmissionError) as caught:
        read_submission(place, models)
    assert caught.value.name == place.name
    assert str(caught.value).count("\n- ") == len(caught.value.problems)
    return list(caught.value.problems)


def test_a_submission_reads_back_as_it_was(make: Make, models: Models, tmp_path: Path) -> None:
    written = make(seeds=(3, 1, 2), options={"steps": 5, "names": ["a", None]})
    place = write_submission(written, tmp_path, models)
    read = read_submission(place, models)
    assert place == tmp_path / written.id
    hashes = {
        key: sha256((place / "scores" / f"{key}.csv").read_bytes()).hexdigest() for key in models
    }
    assert read.description == written.description.model_copy(update={"tables": hashes})
    assert set(read.scores) == set(models)
    for key, values in written.scores.items():
        np.testing.assert_array_equal(read.scores[key], values)


def test_what_a_newer_version_lacks_is_taken_away(
    make: Make, models: Models, tmp_path: Path
) -> None:
    write_submission(make(), tmp_path, models)
    place = write_submission(make(keys=(KEY,)), tmp_path, models)
    assert list(read_submission(place, models).scores) == [KEY]


def test_scores_rank_by_size_or_by_value(make: Make) -> None:
    signed, absolute = make(), make(rank_by="absolute")
    assert (signed.ranking(KEY) < 0).any()
    np.testing.assert_array_equal(absolute.ranking(KEY), np.abs(absolute.scores[KEY]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "other"}, "expected id 'noisy', as the folder is called, got 'other'"),
        ({"title": "\u202egnp"}, "title: expected text that can be seen, got U+202E"),
        ({"auroc": 1.0}, "auroc: unknown field; scores are recomputed"),
        ({"x" * 500: 1}, "xxx...: unknown field"),
        ({"models": {KEY: "0" * 64}}, f"expected model {KEY} of weights dd78c3ccd249, got 0000"),
        ({"models": {"nothing/seed0": "0" * 64}}, "1 models that there are not: nothing/seed0"),
    ],
)
def test_descriptions_that_are_refused(
    fields: dict[str, Any], message: str, place: Path, models: Models
) -> None:
    edit(place, **fields)
    assert any(message in problem for problem in problems(place, models)), problems(place, models)


def test_models_without_tables_and_tables_without_models(place: Path, models: Models) -> None:
    (place / "scores" / f"{KEY}.csv").rename(place / "scores" / "fraction_of_x" / "seed1.csv")
    assert problems(place, models) == [
        f"1 models without a table in scores/: {KEY}",
        "1 tables of models that `models` lacks: fraction_of_x/seed1",
    ]


def test_everything_is_listed_at_once(place: Path, models: Models) -> None:
    edit(place, id="other", models={KEY: "0" * 64, "identity/seed0": "1" * 64}, costs={})
    (place / "notes.txt").write_text("hello")
    (place / "scores" / "identity" / "link").symlink_to(place)
    table = place / "scores" / f"{KEY}.csv"
    table.write_text(table.read_text().replace("embed->m0,", "embed->m9,"))
    found = problems(place, models)
    for word in (
        "symbolic link",
        "unexpected files: notes.txt",
        "expected id",
        "identity/seed0 of",
        f"{KEY} of weights",
        "unknown edges: embed->m9",
        "missing edges: embed->m0",
    ):
        assert sum(word in problem for problem in found) == 1, (word, found)
    assert len(found) == 8  # and the table's hash
    # Tables are looked at even where the description is none.
    edit(place, title=3)
    assert {problem for problem in problems(place, models) if "edges" in problem} < set(found)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "submission.json: cannot be read"),
        (b"[" * 10_000, "in each other"),
        (b"{", "expected JSON"),
        (b"[]", "Input should be an object"),
        (b'{"id": NaN, "id": 1}', "duplicated keys: id"),
        (b'{"title": "\\ud800"}', "submission.json"),
    ],
)
def test_broken_descriptions(data: bytes | None, message: str, place: Path, models: Models) -> None:
    path = place / "submission.json"
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    assert any(message in problem for problem in problems(place, models))


def test_links_are_refused_wherever_they_are(place: Path, models: Models, tmp_path: Path) -> None:
    for name in ("submission.json", f"scores/{KEY}.csv", "scores"):
        path, kept = place / name, tmp_path / "kept"
        path.rename(kept)
        path.symlink_to(kept)
        assert any("symbolic link" in problem for problem in problems(place, models))
        path.unlink()
        kept.rename(path)
    (tmp_path / "linked").symlink_to(place)
    assert problems(tmp_path / "linked", models) == ["expected a folder, got none"]


def test_files_that_are_too_large(
    place: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CSV", 100)
    monkeypatch.setattr(module, "MAX_JSON", 100)
    for name in ("scores/identity/seed0.csv", "submission.json"):
        message = f"{name}: expected a file of at most 100 bytes, got"
        assert any(problem.startswith(message) for problem in problems(place, models))


def test_a_folder_in_the_place_of_the_description_is_refused_alone(
    make: Make, models: Models, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_submission(make(name, keys=(KEY,)), tmp_path, models)
    (tmp_path / "a" / "submission.json").unlink()
    (tmp_path / "a" / "submission.json").mkdir()
    read, refused = read_submissions(tmp_path, models)
    assert [submission.id for submission in read] == ["b"]
    assert "submission.json: expected a file" in str(refused[0])


def test_tables_of_two_versions_are_no_submission(
    make: Make, models: Models, tmp_path: Path
) -> None:
    """As an update that was killed between two files would leave them."""
    old = write_submission(make(keys=(KEY,), noise=0.1), tmp_path / "old", models)
    new = write_submission(make(keys=(KEY,), noise=0.9), tmp_path / "new", models)
    (old / "scores" / f"{KEY}.csv").rename(new / "scores" / f"{KEY}.csv")
    (problem,) = problems(new, models)
    assert problem.startswith(f"scores/{KEY}.csv: expected the table of SHA-256 ")
    edit(new, tables={})
    assert any(
        "expected a hash in `tables` for each of `models`" in p for p in problems(new, models)
    )


def test_what_a_killed_update_left_stands_in_nobodys_way(
    make: Make, models: Models, tmp_path: Path
) -> None:
    place = write_submission(make(keys=(KEY,)), tmp_path, models)
    (tmp_path / f".noisy.{2**22 + 1}").mkdir()
    for leftover in (place / f".submission.json.{2**22 + 1}", place / "scores" / ".seed0.csv.7"):
        leftover.touch()  # of the last version, which wrote files in place
    (place / "notes.txt").touch()
    write_submission(make(keys=(KEY,)), tmp_path, models)
    assert [path.name for path in tmp_path.iterdir()] == ["noisy"]
    assert not (place / f".submission.json.{2**22 + 1}").exists()
    assert problems(place, models) == ["2 unexpected files: notes.txt, scores/.seed0.csv.7"]


def test_ids_and_titles_are_somebodys(make: Make, models: Models, tmp_path: Path) -> None:
    for name, title in (("a", "Mine"), ("b", "\uff2dine"), ("c", "mine"), ("d", "Other")):
        write_submission(make(name, keys=(KEY,), title=title), tmp_path, models)
    with pytest.raises(SubmissionError, match="expected an id that no other has, got that of a"):
        write_submission(make("A", keys=(KEY,)), tmp_path, models)
    write_submission(make("A", keys=(KEY,), title="Fourth"), tmp_path / "elsewhere", models)
    (tmp_path / "elsewhere" / "A").rename(tmp_path / "A")
    (tmp_path / "elsewhere").rmdir()
    read, refused = read_submissions(tmp_path, models)
    assert [submission.id for submission in read] == ["A", "b", "d"]
    assert [(e.name, e.problems[0].partition("expected ")[2]) for e in refused] == [
        ("a", "id that no other has, got that of A"),
        ("c", "title that no other has, got that of b"),
    ]


def test_of_many_problems_the_first_are_listed(place: Path, models: Models) -> None:
    edit(place, **{f"key{i}": 1 for i in range(60_000)})
    found = problems(place, models)
    assert len(found) == 51
    assert found[-1] == "and 59950 more problems"


def test_one_that_is_wrong_keeps_no_other_out(make: Make, models: Models, tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write_submission(make(name, keys=(KEY,)), tmp_path, models)
    edit(tmp_path / "b", id="../a")
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").touch()
    (tmp_path / "link").symlink_to("/etc")
    read, refused = read_submissions(tmp_path, models)
    assert [submission.id for submission in read] == ["a", "c"]
    assert [error.name for error in refused] == ["b", "link"]
    with pytest.raises(ResultError, match="expected a folder of submissions"):
        read_submissions(tmp_path / "none", models)


def test_submissions_are_found_by_themselves_and_in_folders(place: Path) -> None:
    parent, missing = place.parent, place.parent / "none"
    assert find_submissions([parent]) == find_submissions([place]) == [place]
    assert find_submissions([missing, parent]) == [missing, place]
