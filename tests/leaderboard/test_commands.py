"""The commands: from a run to a submission, a check, a table and a site."""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from knowncircuits.cli import app
from knowncircuits.errors import KnownCircuitsError, ResultError
from knowncircuits.exchange import graph_file, write_graph_file
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.exports import board_csv, board_json, board_markdown, save_board
from knowncircuits.leaderboard.serving import address, make_server
from knowncircuits.leaderboard.site import board_time as bench
from knowncircuits.leaderboard.submission import Submission, read_submission, write_submission
from knowncircuits.leaderboard.truth import Certified, certified_models

Models = Mapping[str, Certified]
Make = Callable[..., Submission]
KEY = "fraction_of_x/seed0"


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def submissions(make: Make, models: Models, tmp_path: Path) -> Path:
    """Three submissions, the last of which is broken."""
    for name in ("a", "b", "broken"):
        claims = {"auroc": 0.25} if name == "b" else {}
        write_submission(make(name, claims=claims), tmp_path / "submissions", models)
    (tmp_path / "submissions" / "broken" / "extra").touch()
    return tmp_path / "submissions"


def test_from_a_run_to_a_submission(tmp_path: Path) -> None:
    scored = ("score", "eap", "-c", "fraction_of_x", "--zoo", "1", "--pairs", "5")
    scored += ("-o", tmp_path / "results")
    assert invoke(*scored).exit_code == 0
    described = tmp_path / "about.json"
    described.write_text(json.dumps({"description": "What it does.", "title": "not this"}))
    done = invoke(
        "submit", tmp_path / "results" / "eap", "-o", tmp_path / "out", "--id", "mine", "--title",
        "Mine", "--author", "Ada=https://a.example", "--author", "Bob", "--link",
        "Paper=https://b.example/?a=b", "--describe", described,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.output == f"{tmp_path / 'out' / 'zoo1' / 'mine'}: 1 models, 1 draws of pairs each\n"
    description = read_submission(tmp_path / "out" / "zoo1" / "mine").description
    assert description.title == "Mine"
    assert description.description == "What it does."
    assert [(a.name, a.url) for a in description.authors] == [
        ("Ada", "https://a.example"),
        ("Bob", None),
    ]
    assert description.links[0].url == "https://b.example/?a=b"
    checked = invoke("leaderboard", "validate", tmp_path / "out" / "zoo1" / "mine")
    assert checked.exit_code == 0
    assert checked.output.startswith("mine: fine; 1 of ")


def test_from_files_of_scores_to_a_submission(models: Models, tmp_path: Path) -> None:
    graph = models[KEY].circuit.graph
    scores = models[KEY].circuit.labels.astype(float)
    write_graph_file(graph_file(graph, scores=scores), tmp_path / "mine" / f"{KEY}.json")
    described = tmp_path / "about.json"
    described.write_text(
        json.dumps({"rank_by": "signed", "command": "x", "conventions": {"n_pairs": 9}})
    )
    done = invoke(
        "submit", tmp_path / "mine", "-o", tmp_path / "out", "--title", "Mine", "--author", "Ada",
        "--version", "1", "--zoo", "1", "--describe", described,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    board = Board.of([read_submission(tmp_path / "out" / "zoo1" / "mine")])
    assert board.means["edge", "auroc"].loc["fraction_of_x", "mine"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--link", "x"), "expected --link TITLE=URL"),
        (("other", "--id", "x"), "expected --id and --title with one DIR, got 2"),
        (("--describe", "none.json"), "none.json: expected JSON"),
        (("--describe", "{list}"), "expected an object of fields, got list"),
        (("--describe", "{deep}"), "expected JSON of fields, got 3000 objects and lists in each"),
        (("--describe", "{pipe}"), "expected JSON of fields, got something that is no regular"),
        (("--author", "Ada=ftp://a"), "authors.0.url"),
    ],
)
def test_submit_says_what_is_wrong(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    graph = certified_models(1)[KEY].circuit.graph
    file = graph_file(graph, scores=pd.Series(0.0, range(graph.n_edges)).to_numpy())
    write_graph_file(file, tmp_path / "mine" / f"{KEY}.json")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "deep.json").write_text("[" * 3000)
    os.mkfifo(tmp_path / "pipe.json")
    places = {name: tmp_path / f"{name}.json" for name in ("list", "deep", "pipe")}
    words = tuple(word.format(**places) for word in words)
    done = invoke("submit", tmp_path / "mine", "--zoo", "1", "-o", tmp_path / "out", *words)
    assert isinstance(done.exception, KnownCircuitsError)
    assert message in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_validate_lists_everything_and_compares_claims(submissions: Path) -> None:
    done = invoke("leaderboard", "validate", submissions)
    assert done.exit_code == 1
    assert "broken is refused:\n- 1 unexpected files: extra\n" in done.output
    assert "a: fine; " in done.output
    assert "claims" in done.output
    assert "claims auroc 0.25; its scores come to -" in done.output  # some models only
    alone = invoke("leaderboard", "validate", submissions / "a", submissions / "b")
    assert alone.exit_code == 0
    assert "broken" not in alone.output
    nothing = invoke("leaderboard", "validate", submissions / "a" / "scores" / "identity")
    assert "expected submissions" in str(nothing.exception)
    assert invoke("leaderboard", "validate", submissions / "none").exit_code == 1


@pytest.mark.long
def test_build_reports_what_is_refused(submissions: Path, tmp_path: Path) -> None:
    """And exits with 1 if asked to be strict; the site is there all the same."""
    strict = invoke("leaderboard", "build", submissions, "-o", tmp_path / "site", "--strict")
    assert strict.exit_code == 1
    assert "broken is refused" in strict.output
    assert "2 submissions of zoo 1, 1 refused, " in strict.output
    assert (tmp_path / "site" / "methods" / "a.html").exists()


@pytest.mark.parametrize("form", ["csv", "json", "markdown", "table"])
def test_table_prints_and_saves(form: str, submissions: Path, tmp_path: Path) -> None:
    save = [word for name in ("t.csv", "t.json", "t.md") for word in ("--save", tmp_path / name)]
    done = CliRunner().invoke(
        app, [str(w) for w in ("leaderboard", "table", submissions, "--format", form, *save)]
    )
    assert done.exit_code == 0, done.output
    assert ("partial" in done.stdout) == (form in ("markdown", "table"))
    ending = {"csv": "csv", "json": "json", "markdown": "md"}.get(form)
    if ending:
        assert done.stdout == (tmp_path / f"t.{ending}").read_text()
    assert "broken is refused" in done.stderr
    strict = invoke("leaderboard", "table", submissions, "--strict")
    assert strict.exit_code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--suite", "structure"), "unknown slice 'structure'; did you mean structural"),
        (("--family", "sort"), "unknown slice 'family:sort'; did you mean family:sort"),
        (("--suite", "all", "--family", "sorting"), "expected one of --suite, --family and --diff"),
        (("--view", "edges"), "unknown view 'edges'; did you mean edge"),
        (("--save", "t.xlsx"), "expected a file ending in .csv, .json, .md"),
        (("--wandb-mode", "offline"), "expected --wandb PROJECT"),
    ],
)
def test_table_refuses(words: tuple[str, ...], message: str, submissions: Path) -> None:
    done = invoke("leaderboard", "table", submissions, *words)
    assert isinstance(done.exception, KnownCircuitsError)
    assert message in str(done.exception)


def test_tables_hold_the_same_numbers(make: Make, models: Models, tmp_path: Path) -> None:
    board = Board.of(
        [make("a", title="A | *b* <i>"), make("b", noise=3.0), make("c", keys=(KEY,))], models
    )
    standings = board.standings()
    save_board(standings, tmp_path / "board.csv")
    assert (tmp_path / "board.csv").read_text() == board_csv(standings)
    back = pd.read_csv(tmp_path / "board.csv")
    pd.testing.assert_frame_equal(back, standings, check_dtype=False, rtol=1e-15)
    rows = json.loads(board_json(standings))
    assert [row["method"] for row in rows] == ["a", "b", "c"]
    assert [row["rank_low"] for row in rows] == [None] * 3  # of four cases there are no ranks
    assert [row["auroc"] for row in rows] == [*standings["auroc"][:2], None]  # to the last digit
    short = json.loads(board_json(standings, 6))
    assert [row["auroc"] for row in short] == [*standings["auroc"][:2].round(6), None]
    lines = board_markdown(standings).splitlines()
    assert lines[0].startswith("| rank | method | AUROC | AP |")
    assert r"A \| \*b\* &lt;i&gt;" in lines[2]
    assert f"| {standings['auroc'][0]:.3f} |" in lines[2]
    assert len(lines) == 5
    page = tmp_path / "page.md"
    for _ in range(2):
        text = page.read_text() if page.exists() else "a\n<!-- board -->\nold\n<!-- /board -->\nb\n"
        page.write_text(text)
        save_board(standings, page)
        inside = f"<!-- board -->\n\n{board_markdown(standings)}\n<!-- /board -->"
        assert page.read_text() == f"a\n{inside}\nb\n"


def test_a_site_is_served_to_this_machine(submissions: Path, tmp_path: Path) -> None:
    built = invoke("leaderboard", "build", submissions, "-o", tmp_path / "site")
    assert built.exit_code == 0, built.output  # one is refused, and nobody asked to be strict
    with make_server(tmp_path / "site") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert address(server).startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address(server)) as answer:
                assert answer.read() == (tmp_path / "site" / "index.html").read_bytes()
            with pytest.raises(ResultError, match="cannot serve on port"):
                make_server(tmp_path / "site", server.server_port)
        finally:
            server.shutdown()
            thread.join()
    with pytest.raises(ResultError, match="got no index.html"):
        make_server(tmp_path)


@pytest.mark.long
def test_bench_builds_what_it_says(tmp_path: Path, models: Models, monkeypatch: Any) -> None:
    """On a few models, where it is quick."""
    monkeypatch.setattr(bench, "certified_models", lambda zoo: models)
    heard: list[str] = []
    table = bench.bench_leaderboard(tmp_path, 3, heard.append, ranked=8, tested=4)
    assert len(list((tmp_path / "submissions").iterdir())) == 3
    assert table["step"].tolist() == [
        "before",
        "ranks of 8 methods",
        "intervals of 8 methods",
        "all pairs of 4 methods",
        "write 3 submissions",
        "build the site",
    ]
    assert table["pages"].iloc[-1] == len(list((tmp_path / "site").rglob("*.html")))
    assert "random-002" in heard
    assert (table["peak memory, MB"] > 50).all()
