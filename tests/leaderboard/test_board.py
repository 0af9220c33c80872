"""Standings: means, ranks, what is partial, and that nothing but raw scores counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knowncircuits.cases import CASES, list_cases
from knowncircuits.cases.difficulty import load_difficulty
from knowncircuits.errors import UnknownNameError
from knowncircuits.leaderboard.board import COLUMNS, Board
from knowncircuits.leaderboard.slices import LEVELS, level_of, list_slices, load_slice
from knowncircuits.leaderboard.submission import Submission, read_submission, write_submission
from knowncircuits.leaderboard.truth import Certified, certified_models

Models = Mapping[str, Certified]
Make = Callable[..., Submission]


def board(models: Models, *submissions: Submission) -> Board:
    return Board.of(submissions, models)


def row(standings: pd.DataFrame, name: str) -> pd.Series:
    return standings.set_index("method").loc[name]


def test_slices_part_the_structural_cases() -> None:
    slices = list_slices(certified_models(1))
    assert (slices[0].key, slices[0].kind) == ("structural", "suite")
    structural = slices[0].cases
    assert set(structural) <= set(list_cases("structural"))
    for kind in ("family", "difficulty"):
        parts = [s.cases for s in slices if s.kind == kind]
        assert sorted(case for part in parts for case in part) == sorted(structural)
    for s in slices:
        if s.kind == "family":
            assert {CASES[case].family for case in s.cases} == {s.name}
        if s.kind == "difficulty":
            assert {level_of(load_difficulty(case).depth) for case in s.cases} == {s.name}
    assert list(LEVELS) == [s.name for s in slices if s.kind == "difficulty"]
    with pytest.raises(UnknownNameError, match="unknown slice 'family:counts'; did you mean"):
        load_slice(slices, "family:counts")


def test_means_are_over_seeds_then_models_then_cases(make: Make, models: Models) -> None:
    a = make("a", noise=1.0)
    made = board(models, a)
    found = row(made.standings(), "a")
    table = made.results[made.results["view"] == "edge"]
    by_case = []
    for case in made.slices[0].cases:
        of_case = table[table["case"] == case]
        by_model = [rows["auroc"].mean() for _, rows in of_case.groupby("variant")]
        by_case.append(np.mean(by_model))
    assert len(by_case) == found["cases"] == 4
    assert found["auroc"] == pytest.approx(np.mean(by_case))
    assert np.isnan(found["auroc_low":"auroc_high"].to_numpy(float)).all()  # of four cases
    assert (
        found["models"]
        == found["of_models"]
        == sum(model.case != "identity" for model in models.values())
    )
    assert found["passes"] == 4.0  # 400 for 100 pairs
    assert found["seconds"] == 0.5


def test_methods_are_in_order_and_share_ranks(make: Make, models: Models) -> None:
    submissions = [
        make("worse", noise=2.0),
        make("best", noise=0.0),
        make("equal", noise=0.0),
        make("control", noise=0.0, kind="control"),
        make("partial", noise=0.0, keys=tuple(k for k in models if not k.startswith("freq"))),
        make("less", noise=0.0, keys=("fraction_of_x/seed0",)),
    ]
    standings = board(models, *submissions).standings()
    assert list(standings.columns) == list(COLUMNS)
    assert list(standings["method"]) == ["best", "equal", "worse", "partial", "less", "control"]
    assert row(standings, "control")["auroc"] == 1
    for name in ("partial", "less"):
        assert np.isnan(
            row(standings, name)["auroc":"average_precision_high"].to_numpy(float)
        ).all()
    assert row(standings, "partial")["models"] < row(standings, "partial")["of_models"]


def test_ranks_and_intervals_are_those_of_enough_cases(maker: Callable[..., Make]) -> None:
    """Twelve structural cases have both; a family of fewer has means alone, and keeps its order."""
    cases = load_slice(list_slices(certified_models(1)), "structural").cases[:12]
    models = {k: m for k, m in certified_models(1).items() if m.case in cases}
    make = maker(models)
    made = board(models, make("worse", noise=2.0), make("best", noise=0), make("equal", noise=0))
    standings = made.standings()
    ranks = standings[["method", "rank_low", "rank_high"]].to_numpy().tolist()
    assert ranks == [["best", 1, 2], ["equal", 1, 2], ["worse", 3, 3]]
    assert (standings["auroc_low"] < standings["auroc"]).all()
    assert row(standings, "best")["auroc_low"] == pytest.approx(0.025 ** (1 / 12), abs=0.01)
    few = next(s for s in made.slices if len(s.cases) < 10)
    standings = made.standings(few.key)
    assert standings["method"].tolist() == ["best", "equal", "worse"]
    assert standings.filter(regex="_low|_high").isna().all(axis=None)
    assert standings["auroc"].notna().all()


def test_partial_in_one_slice_is_ranked_in_another(make: Make, models: Models) -> None:
    only = make("only", keys=tuple(k for k in models if k.startswith("fraction")))
    made = board(models, only, make("whole"))
    family = CASES["fraction_of_x"].family
    counting = [case for case in made.slices[0].cases if CASES[case].family == family]
    assert counting == ["fraction_of_x", "frequency"]
    assert only.id not in made.ranked(counting)
    assert np.isnan(row(made.standings(f"family:{family}"), "only")["auroc"])
    assert np.isnan(row(made.standings(), "only")["auroc"])
    one = Board.of([only, make("whole")], {k: m for k, m in models.items() if k in only.scores})
    assert one.ranked(["fraction_of_x"]) == ["only", "whole"]
    assert row(one.standings(), "only")["auroc"] > 0


def test_a_partial_one_moves_no_other(make: Make, models: Models) -> None:
    """Nor does a control: ranks and intervals are those of a board without them."""
    others = [make("a", noise=1.0), make("b", noise=1.0, seed=1)]
    alone = board(models, *others).standings()
    keys = tuple(key for key in models if not key.startswith("zero"))
    more = board(models, *others, make("part", noise=0, keys=keys), make("c", kind="control"))
    both = more.standings()
    pd.testing.assert_frame_equal(alone, both[both["method"].isin(["a", "b"])])


def test_one_number_changes_the_row(
    make: Make, models: Models, tmp_path: Path, rehash: Callable[[Path], None]
) -> None:
    """The score of a true edge, which falls below all others."""
    written = make("a", noise=0.0)
    place = write_submission(written, tmp_path, models)
    before = row(Board.of([read_submission(place, models)], models).standings(), "a")
    path = place / "scores/frequency/seed0.csv"
    edge = models["frequency/seed0"].circuit.edges()[0]
    lines = path.read_text().splitlines()
    lines = [f"{edge},1.0,-9" if line.startswith(f"{edge},") else line for line in lines]
    path.write_text("\n".join(lines) + "\n")
    rehash(place)
    after = row(Board.of([read_submission(place, models)], models).standings(), "a")
    assert before["auroc"] == 1
    n_true = len(models["frequency/seed0"].circuit.edges())
    n_models = sum(key.startswith("frequency/") for key in models)
    assert after["auroc"] == pytest.approx(1 - 1 / n_true / 2 / n_models / 4)


def test_claims_change_nothing(make: Make, models: Models) -> None:
    honest = make("a", noise=1.0)
    claims = honest.description.model_copy(update={"claims": {"auroc": 1.0, "rank": 1.0}})
    forged = replace(honest, description=claims)
    pd.testing.assert_frame_equal(
        board(models, honest).standings(), board(models, forged).standings()
    )


def test_costs_that_are_not_said(make: Make, models: Models) -> None:
    found = row(board(models, make("a", costs={})).standings(), "a")
    assert np.isnan(found["passes"])
    assert np.isnan(found["seconds"])


def test_tests_are_between_ranked_methods(make: Make, models: Models) -> None:
    made = board(
        models,
        make("a", noise=0.0),
        make("b", noise=2.0),
        make("c", kind="control"),
        make("d", keys=("identity/seed0",)),
    )
    tests = made.tests()
    assert tests[["a", "b"]].to_numpy().tolist() == [["a", "b"]]
    assert tests[["wins", "losses", "ties"]].to_numpy().sum() == 4
    assert tests["difference"].iloc[0] > 0


def test_a_board_says_its_resolution(make: Make, models: Models) -> None:
    for resolution in (1e-6, 0.01):
        made = Board.of([make("a")], models, resolution=resolution)
        assert set(made.standings()["resolution"]) == {resolution}


def test_an_empty_board(models: Models) -> None:
    made = board(models)
    assert made.standings().empty
    assert made.tests().empty
