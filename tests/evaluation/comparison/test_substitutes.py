"""Orders of methods by CPR, CMD and economy beside those by the truth, worked out again."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.errors import ResultError, UndefinedError
from knowncircuits.evaluation.comparison.scored import score_results
from knowncircuits.evaluation.comparison.substitutes import (
    Substitutes,
    rank_agreement,
    substitutes,
)
from knowncircuits.evaluation.faithfulness.runs import faithfulness_table
from knowncircuits.evaluation.runs.results import read_results
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings

METHODS = ("random", "exact", "eap", "acdc")
CASES = ("gate_or_2", "gate_or_3", "gate_and_2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("results")
    settings = [Settings(method, 4, corruption="on-off") for method in METHODS]
    run(settings, [(case, "compiled") for case in CASES], found, seeds=(0, 1))
    return found


@pytest.fixture(scope="module")
def found(folder: Path) -> Substitutes:
    return substitutes(read_results(folder))


def tau_by_pairs(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's tau-b by its definition: over all pairs, concordant less discordant."""
    signs = np.sign(
        [
            (round(first[i] - first[j], 12), round(second[i] - second[j], 12))
            for i, j in combinations(range(len(first)), 2)
        ]
    )
    with np.errstate(invalid="ignore"):
        norm = np.sqrt((signs[:, 0] != 0).sum() * (signs[:, 1] != 0).sum())
        return float((signs[:, 0] * signs[:, 1]).sum() / norm)


@pytest.mark.parametrize("score", ["cpr", "cmd", "economy", "best_match"])
@pytest.mark.parametrize("truth", ["auroc", "average_precision"])
def test_agreement_by_hand(folder: Path, found: Substitutes, score: str, truth: str) -> None:
    results = read_results(folder)
    areas = faithfulness_table(results).groupby(["case", "method"])[["cpr", "cmd"]].mean()
    table = score_results(results, ["edge"])
    columns = ["economy", "best_match", "auroc", "average_precision"]
    values = table.groupby(["case", "method"])[columns].mean().join(areas)
    values["cmd"] *= -1  # less is better
    taus = []
    for case in CASES:
        of_case = values.loc[case].loc[list(METHODS)]
        taus.append(tau_by_pairs(of_case[score].to_numpy(), of_case[truth].to_numpy()))
    means = values.groupby("method").mean()
    row = found.agreement.set_index(["score", "truth"]).loc[(score, truth)]
    assert row["n_cases"] == np.isfinite(taus).sum()
    assert row["tau"] == pytest.approx(np.nanmean(taus))
    assert row["overall"] == pytest.approx(
        tau_by_pairs(means[score].to_numpy(), means[truth].to_numpy())
    )
    assert np.isnan(row["low"])  # of three cases no interval is told


def test_reliability_by_hand(folder: Path, found: Substitutes) -> None:
    table = score_results(read_results(folder), ["edge"])
    spread = table.groupby(["method", "case"])["auroc"].std()
    rows = found.reliability.set_index("score")
    assert rows.loc["auroc", "noise"] == pytest.approx(spread.mean())
    halves = [table[table["seed"] == s].groupby("method")["auroc"].mean() for s in (0, 1)]
    expected = tau_by_pairs(*(half.loc[list(METHODS)].to_numpy() for half in halves))
    assert rows.loc["auroc", "repeat"] == pytest.approx(expected)
    assert rows.loc["auroc", "told"] == 0  # three cases tell nothing apart


def test_equal_orders_agree_and_opposite_ones_do_not() -> None:
    rows = [
        {
            "method": f"m{i}",
            "case": f"c{case}",
            "variant": "seed0",
            "seed": 0,
            "auroc": i / 4,
            "average_precision": 1 - i / 4,
            "cpr": i + case,
            "cmd": 0.1 * i,
        }
        for i in range(4)
        for case in range(12)
    ]
    found = rank_agreement(pd.DataFrame(rows))
    tau = found.agreement.set_index(["score", "truth"])
    assert tau.loc[("cpr", "auroc"), ["tau", "overall", "high"]].tolist() == [1, 1, 1]
    assert 0.4 < tau.loc[("cpr", "auroc"), "low"] < 1
    assert tau.loc[("cmd", "auroc"), "tau"] == -1
    assert tau.loc[("cmd", "average_precision"), "tau"] == 1
    reliability = found.reliability.set_index("score")
    assert reliability.loc["cpr", "told"] == 1
    assert np.isnan(reliability.loc["cpr", "repeat"])  # of one draw


def test_cases_without_faithfulness_count_for_the_other_scores_alone(tmp_path: Path) -> None:
    settings = [Settings(method, 4, corruption="on-off") for method in METHODS[:3]]
    run(settings, [(case, "compiled") for case in ("gate_xor_2", "gate_or_2")], tmp_path)
    rows = substitutes(read_results(tmp_path)).reliability.set_index("score")
    assert rows.loc[["cpr", "cmd", "auroc"], "n_cases"].tolist() == [1, 1, 2]
    of_xor = [r for r in read_results(tmp_path) if r.case == "gate_xor_2"]
    with pytest.raises(UndefinedError, match="faithfulness is not defined"):
        faithfulness_table(of_xor)
    with pytest.raises(ResultError, match="a task on which faithfulness is defined, got none"):
        substitutes(of_xor)


def test_the_command(folder: Path, tmp_path: Path) -> None:
    words = ["substitutes", str(folder), "-o", str(tmp_path / "out"), "--format", "json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert {*json.loads(result.stdout)} == {"agreement", "reliability"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"agreement.csv", "reliability.csv"}


def test_orders_of_two_methods_are_too_few(folder: Path) -> None:
    two = [r for r in read_results(folder) if r.label in METHODS[:2]]
    with pytest.raises(ResultError, match="at least 3 methods, whose orders can differ, got 2"):
        substitutes(two)
    with pytest.raises(ResultError, match="got 0"):
        substitutes([])
