"""Submissions and boards of two zoos keep apart.

Zoo 2 is here the models of zoo 1 under another number: what is tested is which board they are on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.errors import InputError, ResultError, SubmissionError
from knowncircuits.leaderboard import stored_effects, submission
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.site.build import build_site
from knowncircuits.leaderboard.submission import (
    Submission,
    read_submission,
    read_submissions,
    write_submission,
)
from knowncircuits.leaderboard.truth import Certified
from knowncircuits.models.choices import DEFAULT_ZOO, ZooVersion

Models = Mapping[str, Certified]
OTHER_ZOO: ZooVersion = 2 if DEFAULT_ZOO == 1 else 1
KEYS = ("fraction_of_x/seed0", "identity/seed0")


@pytest.fixture(autouse=True)
def zoos(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' models, in both zoos."""

    def certified(zoo: ZooVersion = DEFAULT_ZOO) -> Models:
        return {key: replace(model, zoo=zoo) for key, model in models.items()}

    monkeypatch.setattr(submission, "certified_models", certified)
    curves = stored_effects.STORED[1]
    monkeypatch.setattr("knowncircuits.leaderboard.site.build.STORED", {1: curves, 2: curves})


@pytest.fixture
def both(make: Callable[..., Submission], tmp_path: Path) -> Path:
    """A submission of one id and title to each zoo."""
    for zoo in (1, 2):
        write_submission(make("a", noise=zoo / 2, zoo=zoo), tmp_path / "in" / f"zoo{zoo}")
    return tmp_path / "in"


def invoke(*words: str | Path) -> tuple[str, BaseException | None]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.output, done.exception


def test_submissions_say_which_zoo_they_are_of(
    make: Callable[..., Submission], both: Path, models: Models
) -> None:
    read, refused = read_submissions(both)
    assert [(s.id, s.zoo) for s in read] == [("a", 1), ("a", 2)]
    assert refused == []
    with pytest.raises(SubmissionError, match="expected a submission of zoo 1, got one of zoo 2"):
        read_submission(both / "zoo2" / "a", models)
    place = write_submission(make("b", keys=KEYS, zoo=2), both / "zoo1")
    with pytest.raises(SubmissionError, match="expected a submission of zoo 1, got one of zoo 2"):
        read_submission(place)
    path = place / "submission.json"
    path.write_text(path.read_text().replace(' "zoo": 2,\n', ""))
    assert read_submission(place).zoo == 1  # as before there was another
    path.write_text(path.read_text().replace(' "kind"', ' "zoo": 3,\n "kind"'))
    with pytest.raises(SubmissionError, match="zoo: Input should be 1, 2 or 'own'"):
        read_submission(place)


def test_no_board_ranks_two_zoos_together(both: Path) -> None:
    read, _ = read_submissions(both)
    with pytest.raises(ResultError, match="expected submissions of one zoo, got some of zoo"):
        Board.of(read)
    for one in read:
        board = Board.of([one])
        assert board.zoo == one.zoo
        assert set(board.standings()["zoo"]) == set(board.results["zoo"]) == {one.zoo}


def test_commands_rank_and_check_each_zoo(both: Path) -> None:
    tables = {
        zoo: invoke("leaderboard", "table", both, "--format", "csv", *option)[0]
        for zoo, option in ((None, ()), (1, ("--zoo", "1")), (2, ("--zoo", "2")))
    }
    assert tables[None] == tables[DEFAULT_ZOO] != tables[OTHER_ZOO]
    checked, _ = invoke("leaderboard", "validate", both)
    assert [line.partition(" models ")[2][:8] for line in checked.splitlines()] == [
        f"of zoo {DEFAULT_ZOO}",
        f"of zoo {OTHER_ZOO}",
    ]
    only, _ = invoke("leaderboard", "table", both / f"zoo{OTHER_ZOO}", "--format", "csv")
    assert only == tables[OTHER_ZOO]
    _, error = invoke("leaderboard", "table", both / "zoo1", "--zoo", "2")
    assert isinstance(error, InputError)
    assert "expected submissions of zoo 2 in" in str(error)


def test_a_site_has_a_board_for_each_zoo(both: Path, tmp_path: Path) -> None:
    """Each as it is by itself but for the lines that name the zoos and link the other board."""
    site = tmp_path / "site"
    built = build_site(both, site)
    assert [board.zoo for board in built.boards] == [DEFAULT_ZOO, OTHER_ZOO]
    places = {DEFAULT_ZOO: site, OTHER_ZOO: site / f"zoo{OTHER_ZOO}"}
    links = {DEFAULT_ZOO: f"zoo{OTHER_ZOO}/index.html", OTHER_ZOO: "../index.html"}
    for zoo, place in places.items():
        alone = tmp_path / f"alone{zoo}"
        build_site(both / f"zoo{zoo}", alone)
        paths = [path.relative_to(alone) for path in alone.rglob("*") if path.is_file()]
        assert len(paths) > 20
        for path in paths:
            if path.name == ".knowncircuits":
                continue
            data, there = (alone / path).read_bytes(), (place / path).read_bytes()
            if path.suffix == ".html":
                root = "../" * (len(path.parts) - 1)
                line = f'<p class="zoo">zoo {zoo}'
                other = OTHER_ZOO if zoo == DEFAULT_ZOO else DEFAULT_ZOO
                link = f' · <a href="{root}{links[zoo]}">zoo {other}</a>'
                assert line.encode() in data
                assert (place / path.parent / f"{root}{links[zoo]}").exists()
                data = data.replace(line.encode(), (line + link).encode())
            assert data == there, path
