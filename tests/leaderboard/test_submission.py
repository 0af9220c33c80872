"""Whole submissions: written and read back, and refused for everything that is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowncircuits.errors import ResultError, SubmissionError
from knowncircuits.leaderboard import submission as module
from knowncircuits.leaderboard.submission import (
    Submission,
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
    assert read.description == written.description
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
    assert len(found) == 7
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
    assert "scores/identity/seed0.csv: expected at most 100 bytes, got more" in problems(
        place, models
    )
    monkeypatch.setattr(module, "MAX_JSON", 100)
    assert "submission.json: expected at most 100 bytes, got more" in problems(place, models)


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
