"""Curves against scikit-learn, figures by what they hold, and the command by what it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, precision_recall_curve, roc_curve
from typer.testing import CliRunner

from knowncircuits.circuit import Label, circuit_from_edges
from knowncircuits.cli import app
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison import plots as figures
from knowncircuits.evaluation.comparison.compare import Comparison, compare_results
from knowncircuits.evaluation.comparison.mean_curves import mean_curves
from knowncircuits.evaluation.runs.results import Result
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.evaluation.scoring.curves import GRID, score_curve
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.graph import Graph

METHODS = ("eap", "random", "truth", "edge-sp")
MODELS = [("histogram", "seed0"), ("fraction_of_x", "seed0"), ("fraction_of_x", "shuffled")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("results")
    settings = [Settings(m, 10, options={"steps": 3} if m == "edge-sp" else {}) for m in METHODS]
    run(settings, [*MODELS, ("identity", "seed0")], found, seeds=(0, 1), zoo=1)
    return found


@pytest.fixture(scope="module")
def found(folder: Path) -> Comparison:
    from knowncircuits.evaluation.runs.results import read_results

    return compare_results(read_results(folder))


def test_curves_are_those_of_scikit_learn(found: Comparison) -> None:
    for result in found.results:
        curve = score_curve(result.scores, result.circuit)
        determined = result.circuit.determined
        truth = result.circuit.labels[determined] == Label.IN
        ranks = result.scores.ranks()[determined]
        false_rate, recall, _ = roc_curve(truth, ranks, drop_intermediate=False)
        np.testing.assert_allclose(curve["false_positive_rate"], false_rate)
        np.testing.assert_allclose(curve["recall"], recall)
        precision, recall, _ = precision_recall_curve(truth, ranks)
        np.testing.assert_allclose(curve["precision"][1:], precision[:-1][::-1])
        np.testing.assert_allclose(curve["recall"], recall[::-1])
        assert curve["n_chosen"].tolist() == [
            (result.scores.ranking[determined] >= threshold).sum()
            for threshold in curve["threshold"]
        ]


def test_areas_under_mean_curves_are_mean_areas(found: Comparison) -> None:
    """Up to the grid, on which a curve's corners are cut."""
    summary = found.summaries[0].table.set_index("method")
    chosen = [r for r in found.results if r.case != "identity"]
    curves = mean_curves(chosen)
    assert set(curves["method"]) == set(summary.index)
    for method, curve in curves.groupby("method"):
        assert curve["at"].tolist() == GRID.tolist()
        area = auc(curve["at"], curve["recall"])
        assert area == pytest.approx(summary.loc[str(method), "auroc"], abs=0.005)
        # Precision at a recall is that of the step which ends there.
        steps = curve["precision"][1:].mean()
        assert steps == pytest.approx(summary.loc[str(method), "average_precision"], abs=0.01)


def test_lines_end_below_what_rises_straight_up() -> None:
    """All other edges rank above the one true edge: nothing is found before they all are."""
    graph = Graph(1, 1)
    circuit = circuit_from_edges(graph, graph.edges[-1:])
    scores = Scores(graph, -np.arange(float(graph.n_edges)), "last", "signed")
    result = Result("last", "a", "b", 0, {}, scores, circuit)
    assert mean_curves([result])["recall"].tolist() == [0.0] * 200 + [1.0]


def test_figures_hold_every_method_case_and_edge(found: Comparison) -> None:
    summary = found.summaries[0]
    curves = figures.curves_figure(found.results, summary)
    assert {trace.name for trace in curves.data} == set(METHODS)
    looks = {(t.line.color, t.line.dash) for t in curves.data if t.showlegend is not False}
    assert len(looks) == len(METHODS)
    (cells,) = figures.cases_figure(summary).data
    assert np.array(cells.z).shape == (2, 4)
    assert dict(zip(cells.x, np.mean(cells.z, axis=0), strict=True)) == pytest.approx(
        summary.table.set_index("method")["auroc"].to_dict()
    )
    inside, outside = figures.strips_figure(found.results, summary).data
    for trace, label in ((inside, Label.IN), (outside, Label.OUT)):
        counts = [text.split(": ")[1].split(" of ") for text in trace.text if "eap" in text]
        edges = sum(
            (r.circuit.labels == label).sum()
            for r in found.results
            if r.label == "eap" and r.case != "identity"
        )
        assert {int(total.split()[0]) for _, total in counts} == {edges}
        assert sum(int(n) for n, _ in counts) == edges
    cost = figures.cost_figure(summary)
    assert {trace.name: trace.x[0] for trace in cost.data} == {"eap": 3.0, "edge-sp": 8.0}


def test_the_command_prints_and_writes(folder: Path, found: Comparison, tmp_path: Path) -> None:
    target = tmp_path / "comparison"
    done = CliRunner().invoke(app, ["compare", str(folder), "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert "mean of 2 structural cases" in done.output
    assert "mean of 1 degenerate cases" in done.output
    assert "structural: 0 of 6 pairs of methods differ" in done.output
    tables, plots = ("scores", "summary", "tests"), ("curves", "cases", "strips", "cost")
    assert {p.name for p in target.iterdir()} == {
        *(f"{name}.csv" for name in tables),
        *(f"{name}.html" for name in plots),
        "plotly.min.js",  # which the pages share
    }
    scores = pd.read_csv(target / "scores.csv")
    assert len(scores) == len(found.scores) == 4 * 4 * 5 * 2
    assert set(pd.read_csv(target / "tests.csv")["suite"]) == {"structural", "degenerate"}


def test_score_and_compare_print_the_same(tmp_path: Path) -> None:
    words = ["truth", "random", "eap", "-c", "identity", "-c", "histogram", "--zoo", "1"]
    words += ["--pairs", "5"]
    scored = CliRunner().invoke(app, ["score", *words, "-o", str(tmp_path)])
    assert scored.exit_code == 0, scored.output
    compared = CliRunner().invoke(app, ["compare", str(tmp_path)])
    table = compared.stdout.partition("structural: ")[0]
    assert "mean of 1 structural cases" in table
    assert "mean of 1 degenerate cases" in table
    assert scored.stdout.startswith(table)


def test_methods_without_a_common_case(found: Comparison) -> None:
    apart = [r for r in found.results if (r.label == "eap") == (r.case == "histogram")]
    apart = [r for r in apart if r.case != "identity"]
    with pytest.raises(ResultError, match="expected a case that all methods have .*eap.*got none"):
        compare_results(apart)


def test_compiled_models_are_a_suite_of_their_own(found: Comparison) -> None:
    """No mean is over a case's trained and compiled models."""
    compiled = [
        replace(result, variant="compiled", scores=replace(result.scores, values=zeros))
        for result in found.results
        if result.variant == "seed0" and result.case == "histogram"
        for zeros in [np.zeros(result.circuit.graph.n_edges)]
    ]
    *trained, summary = compare_results([*found.results, *compiled]).summaries
    for before, after in zip(found.summaries, trained, strict=True):
        pd.testing.assert_frame_equal(before.table, after.table)
    assert summary.title == "mean of 1 compiled structural cases (AUROC at random: 0.5)"
    assert summary.table["auroc"].eq(0.5).all()
    assert list(filter(summary.covers, [*found.results, *compiled])) == compiled
    assert not any(map(trained[0].covers, compiled))


def test_own_models_are_a_group_of_their_own(found: Comparison) -> None:
    """Two of one case too; no shipped model's numbers move."""
    own = [
        replace(result, variant=variant, scores=replace(result.scores, values=values))
        for result in found.results
        if result.variant == "seed0" and result.case == "histogram"
        for variant, values in (
            ("own-a-00000000", result.scores.values),
            ("own-b-11111111", np.zeros(result.circuit.graph.n_edges)),
        )
    ]
    both = compare_results([*found.results, *own])
    *shipped, summary = both.summaries
    for before, after in zip(found.summaries, shipped, strict=True):
        pd.testing.assert_frame_equal(before.table, after.table)
        pd.testing.assert_frame_equal(before.means, after.means)
    assert summary.title == "mean of 2 own models (AUROC at random: 0.5)"
    assert list(summary.means.index) == ["histogram/own-a-00000000", "histogram/own-b-11111111"]
    assert summary.means.loc["histogram/own-b-11111111"].eq(0.5).all()
    assert list(filter(summary.covers, both.results)) == own
    assert not any(map(shipped[0].covers, own))
    (alone,) = compare_results(own).summaries
    pd.testing.assert_frame_equal(alone.table, summary.table)
