"""Scores by cost against what each run says, and the front against its definition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.cli.ending import BAD_INPUT, run_command
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison.budget import Budget, budget_results, front
from knowncircuits.evaluation.comparison.budget_plots import budget_figure
from knowncircuits.evaluation.runs.results import read_results
from knowncircuits.evaluation.scoring.scores import score

CASES = ("gate_or_2", "backup_2")
METHODS = ("eap", "exact", "random")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("results")
    cases = [word for case in CASES for word in ("-c", case)]
    command = ["score", *METHODS, *cases, "--compiled", "--pairs", "1,4", "-o", str(found)]
    printed = CliRunner().invoke(app, [*command, "--format", "json"])
    assert printed.exit_code == 0, printed.output
    (found / "printed.txt").write_text(printed.stdout)
    return found


@pytest.fixture(scope="module")
def found(folder: Path) -> Budget:
    return budget_results(read_results(folder / "pairs-1", folder / "pairs-4"))


def test_numbers_of_pairs_have_a_folder_each(folder: Path, found: Budget) -> None:
    for n_pairs in (1, 4):
        results = read_results(folder / f"pairs-{n_pairs}")
        assert {result.settings["n_pairs"] for result in results} == {n_pairs}
        assert len(results) == len(METHODS) * len(CASES)
    rows = json.loads((folder / "printed.txt").read_text())
    assert [(row["method"], row["n_pairs"]) for row in rows] == list(
        found.points[["method", "n_pairs"]].itertuples(index=False, name=None)
    )


def test_points_are_means_of_runs(folder: Path, found: Budget) -> None:
    for row in found.points.to_dict("records"):
        own = read_results(folder / f"pairs-{row['n_pairs']}" / row["method"])
        scores = [score(result.scores, result.circuit) for result in own]
        assert row["average_precision"] == pytest.approx(
            np.mean([one.average_precision for one in scores])
        )
        assert row["auroc"] == pytest.approx(np.mean([one.auroc for one in scores]))
        passes = [r.scores.forward_passes + r.scores.backward_passes for r in own]
        assert row["passes"] == pytest.approx(np.mean(passes))
        assert (row["suite"], row["cases"]) == ("compiled hard", 2)
    assert len(found.points) == 6


def test_controls_are_not_on_the_front(found: Budget) -> None:
    chosen = found.points[found.points["front"]]
    assert not chosen["method"].isin(["random"]).any()
    cheapest = found.points[found.points["passes"] > 0].nsmallest(1, "passes")
    assert cheapest["front"].all()


def test_the_front_is_what_nothing_beats() -> None:
    costs = np.array([1.0, 1, 2, 3, 3, np.nan, 5])
    scores = np.array([0.5, 0.4, 0.5, 0.9, 0.9 - 1e-15, 1.0, 0.8])
    assert front(costs, scores).tolist() == [True, False, False, True, True, False, False]
    rng = np.random.default_rng(0)
    costs, scores = rng.integers(1, 6, 40).astype(float), rng.integers(0, 6, 40) / 5
    for i, mine in enumerate(front(costs, scores)):
        beaten = any(
            (costs[j] <= costs[i] and scores[j] > scores[i])
            or (costs[j] < costs[i] and scores[j] >= scores[i])
            for j in range(40)
        )
        assert mine != beaten


def test_the_figure_holds_the_points(found: Budget) -> None:
    figure = budget_figure(found)
    lines = {line.name: line for line in figure.data}
    assert set(lines) == {"front", "eap", "exact"}
    for method in ("eap", "exact"):
        own = found.points[found.points["method"] == method]
        assert list(lines[method].x) == own["passes"].tolist()
        assert list(lines[method].y) == own["average_precision"].tolist()
        rings = [width > 0 for width in lines[method].marker.line.width]
        assert rings == own["front"].tolist()
    assert [note.text for note in figure.layout.annotations if note.text == "random"]


def test_the_command_writes_table_and_figure(folder: Path, tmp_path: Path) -> None:
    both = [str(folder / f"pairs-{n}") for n in (1, 4)]
    shown = CliRunner().invoke(app, ["budget", *both, "-o", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "mean of 2 compiled hard cases" in shown.output
    assert {path.name for path in tmp_path.iterdir()} == {"budget.csv", "budget.html"}


@pytest.mark.parametrize("text", ["0", "1,x", "4,,5", "1000001", ""])
def test_other_numbers_of_pairs_are_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["knowncircuits", "score", "eap", "--pairs", text, "-o", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    assert run_command(app) == BAD_INPUT
    assert "expected --pairs from 1 to 1000000, like 100 or 1,4,16" in capsys.readouterr().err


def test_methods_that_share_no_case_are_refused(folder: Path) -> None:
    results = read_results(folder / "pairs-1")
    apart = [r for r in results if (r.label == "eap") == (r.case == "gate_or_2")]
    with pytest.raises(ResultError, match="a case that all methods have on every number of pairs"):
        budget_results(apart)
