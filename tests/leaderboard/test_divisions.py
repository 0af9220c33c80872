"""Divisions: what the closed one asks for, and which budget a method falls into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.divisions import BUDGETS, least_budget, most_passes
from knowncircuits.leaderboard.schema import Cost
from knowncircuits.leaderboard.submission import Submission, read_submissions, within
from knowncircuits.leaderboard.truth import Certified

Make = Callable[..., Submission]
Models = Mapping[str, Certified]


def costs(models: Models, forward: int | None, backward: int | None = 0) -> dict[str, Any]:
    """Of a submission of 100 pairs; the first model takes what is said, the others nothing."""
    first, *others = models
    said = Cost(seconds=1.0, forward_passes=forward, backward_passes=backward)
    none = Cost(seconds=1.0, forward_passes=0, backward_passes=0)
    return {first: (said, none), **dict.fromkeys(others, (none, none))}


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))), st.integers(1, 1000))
def test_the_budget_is_the_least_that_no_run_exceeds(
    runs: list[tuple[int, int]], n_pairs: int
) -> None:
    budget = least_budget(most_passes(runs, n_pairs))
    holds = [b for b in BUDGETS if all(f + b_ <= b * n_pairs for f, b_ in runs)]
    assert budget == (holds[0] if holds else None)


@pytest.mark.parametrize(
    ("forward", "backward", "budget"),
    [(1000, 0, 10), (1001, 0, 1_000), (50_000, 50_000, 1_000), (10_000_000, 0, 100_000)],
)
def test_the_model_that_took_most_decides(
    forward: int, backward: int, budget: int, make: Make, models: Models
) -> None:
    made = make(costs=costs(models, forward, backward), division="closed").description
    assert made.budget == budget
    assert not made.contradictions
    assert make(costs=costs(models, forward, backward)).description.budget is None


def test_a_closed_one_without_counted_passes_is_refused(make: Make, models: Models) -> None:
    some = costs(models, 5)
    some.popitem()
    for told in ({}, some, costs(models, None), costs(models, 5, None)):
        (problem,) = make(costs=told, division="closed").description.contradictions
        assert problem.startswith("division: expected of a closed one counted passes on every")
        assert not make(costs=told).description.contradictions
    (problem,) = make(costs=costs(models, 10_000_001), division="closed").description.contradictions
    assert problem.endswith("at most 100,000 for each pair, got 100,000.01")


def test_the_board_ranks_those_within_a_budget_among_themselves(make: Make, models: Models) -> None:
    dear = make("dear", noise=0.1, costs=costs(models, 99_999), division="closed")
    cheap = make("cheap", noise=0.3, costs=costs(models, 500), division="closed")
    free = make("free", noise=0.2, costs={})
    control = make("control", noise=0.1, kind="control", costs={})
    every = [dear, cheap, free, control]
    table = Board.of(every, models).standings().set_index("method")
    assert table["division"].to_dict() == {
        "dear": "closed",
        "cheap": "closed",
        "free": "open",
        "control": "open",
    }
    assert table.loc[["dear", "cheap"], "budget"].tolist() == [1_000, 10]
    assert table.loc[["free", "control"], "budget"].isna().all()
    assert within(every, "closed") == [dear, cheap, control]
    assert within(every, "open") == [free, control]
    assert within(every, passes=10) == [cheap, control]
    assert within(every, "closed", 1_000) == [dear, cheap, control]


def test_our_own_rows_are_closed(root: Any) -> None:
    """And those within ten passes are the ones that take a gradient or two."""
    folder = root / "leaderboard" / "submissions"
    read, _ = read_submissions(folder)
    assert {submission.description.division for submission in read} == {"closed"}
    words = ["leaderboard", "table", str(folder), "--budget", "10", "--format", "csv"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    methods = [line.split(",")[0] for line in shown.output.splitlines() if ",method," in line]
    assert set(methods) == {
        *("clean-corrupted", "eap", "nap", "peap", "gim", "relp", "relp-ah", "hisp", "ifr"),
        *("ifr-routes", "activation"),
    }
