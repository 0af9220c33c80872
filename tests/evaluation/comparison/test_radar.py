"""Scores by level, experiment and tag against scikit-learn's; figures by what they hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from typer.testing import CliRunner

from knowncircuits.circuit import Label
from knowncircuits.cli import app
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison.radar import Radar, radar
from knowncircuits.evaluation.comparison.radar_plots import radar_figure, response_figure
from knowncircuits.evaluation.runs.results import Result, read_results
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings

METHODS = ("random", "exact", "truth", "eap")
LEVELS = ("gate_or_2", "gate_or_3", "copies_2", "deep_2", "deep_4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("results")
    for corruption in ("resample", "on-off"):
        cases = [case for case in LEVELS if corruption == "resample" or "deep" not in case]
        settings = [Settings(method, 10, corruption=corruption) for method in METHODS]
        models = [(case, "compiled") for case in cases]
        run(settings, models, found / corruption, seeds=(0, 1))
    one = Settings("exact", 10, corruption="off-on")  # which no other method has
    run([one], [("gate_or_2", "compiled")], found / "off-on", seeds=(0,))
    return found


@pytest.fixture(scope="module")
def found(folder: Path) -> Radar:
    return radar(read_results(folder))


def by_hand(result: Result) -> float:
    """Average precision above chance, by scikit-learn, of scores without rounding."""
    known = result.circuit.labels != Label.UNDETERMINED
    truth = result.circuit.labels[known] == Label.IN
    ranks = result.scores.ranks()[known]
    chance = truth.mean()
    return max(0, (average_precision_score(truth, ranks) - chance) / (1 - chance))


def test_scores_are_those_by_hand(folder: Path, found: Radar) -> None:
    results = read_results(folder)

    def mean(method: str, case: str, corruption: str) -> float:
        chosen = [
            by_hand(result)
            for result in results
            if (result.label, result.case) == (method, case)
            and result.settings["corruption"] == corruption
        ]
        assert len(chosen) == 2  # draws
        return float(np.mean(chosen))

    for row in found.levels.to_dict("records"):
        case = f"{row['experiment']}_{row['level']}"
        assert row["score"] == pytest.approx(mean(row["method"], case, row["pairs"]))
        assert row["least"] <= row["score"] <= row["most"]
    assert len(found.levels) == len(METHODS) * 8
    for method in METHODS:
        gates = [
            mean(method, case, corruption)
            for case in ("gate_or_2", "gate_or_3")
            for corruption in ("resample", "on-off")
        ]
        copies = [mean(method, "copies_2", pairs) for pairs in ("resample", "on-off")]
        deep = [mean(method, case, "resample") for case in ("deep_2", "deep_4")]
        experiments = {"gate_or": gates, "copies": copies, "deep": deep}
        for name, values in experiments.items():
            assert found.experiments.loc[method, name] == pytest.approx(np.mean(values))
        tags = {"gates": gates, "redundancy": copies, "scale": deep, "saturation": deep}
        for tag, values in tags.items():
            assert found.tags.loc[method, tag] == pytest.approx(np.mean(values))
        means = [np.mean(values) for values in experiments.values()]
        assert found.means[method] == pytest.approx(np.mean(means))


def test_the_truth_is_at_one_and_first(found: Radar) -> None:
    assert found.experiments.index[0] == "truth"
    assert (found.experiments.loc["truth"] == 1).all()
    assert (found.tags.loc["truth"] == 1).all()
    assert list(found.means) == sorted(found.means, reverse=True)


def test_levels_that_a_method_lacks_do_not_count(folder: Path, found: Radar) -> None:
    assert found.left_out == ("gate_or_2 (off-on)",)
    assert not (found.levels["pairs"] == "off-on").any()
    alone = radar([r for r in read_results(folder) if r.label == "exact"])
    assert alone.left_out == ()
    assert (alone.levels["pairs"] == "off-on").sum() == 1


def test_economy_is_of_levels_whose_sets_are_known(found: Radar) -> None:
    of = found.levels.set_index(["experiment", "pairs", "level", "method"])["economy"]
    assert of["gate_or", "on-off", "2", "truth"] == 1
    assert of["gate_or", "on-off", "2", "exact"] < 1  # it finds neither of two flags
    assert np.isnan(of["deep", "resample", "4", "truth"])


def test_figures_hold_the_tables(found: Radar) -> None:
    drawn = radar_figure(found)
    assert [line.name for line in drawn.data] == list(found.tags.index)
    for line in drawn.data:
        assert list(line.theta) == [*found.tags, next(iter(found.tags))]  # around, and closed
        assert list(line.r)[:-1] == found.tags.loc[line.name].tolist()
    curves = response_figure(found)
    panels = found.levels[["experiment", "pairs"]].drop_duplicates()
    assert len(curves.data) == len(panels) * len(METHODS)
    deep = [line for line in curves.data if list(line.x) == ["2", "4"]]
    assert len(deep) == len(METHODS)  # levels in their order, easy ones first


def test_few_tags_are_bars(folder: Path) -> None:
    deep = radar([r for r in read_results(folder) if r.case.startswith("deep")])
    drawn = radar_figure(deep)
    assert [bar.name for bar in drawn.data] == list(deep.tags.index)
    for bar in drawn.data:
        assert dict(zip(bar.x, bar.y, strict=True)) == dict(deep.tags.loc[bar.name])


def test_the_command_writes_tables_and_figures(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["radar", str(folder), "-o", str(tmp_path), "--format", "json"]
    )
    assert result.exit_code == 0, result.output
    assert {*json.loads(result.stdout)} == {"levels", "experiments", "tags"}
    assert {path.name for path in tmp_path.iterdir()} == {
        *("levels.csv", "experiments.csv", "tags.csv", "radar.html", "response.html"),
        "plotly.min.js",  # which the pages share
    }


def test_models_of_several_kinds_are_not_averaged(tmp_path: Path) -> None:
    models = [("deep_2", "compiled"), ("deep_2", "hosted")]
    results = run([Settings("random", 5)], models, tmp_path)
    with pytest.raises(ResultError, match="models of one kind, got compiled and hosted"):
        radar(results)


def test_results_of_other_suites_are_none(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="expected results on cases of the hard suite, got none"):
        radar([])
    run([Settings("random", 5)], [("histogram", "compiled")], tmp_path)
    with pytest.raises(ResultError, match="hard suite"):
        radar(read_results(tmp_path))
    run([Settings("random", 5)], [("deep_2", "compiled")], tmp_path / "a")
    run([Settings("truth", 5)], [("deep_4", "compiled")], tmp_path / "b")
    with pytest.raises(ResultError, match="expected a level that all methods have"):
        radar(read_results(tmp_path))
