"""Runs on pairs with a direction: results know which sets are enough, and tables show it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from knowncircuits.cases.registry import load_case
from knowncircuits.errors import ResultError, TaskError
from knowncircuits.evaluation.comparison.scored import case_scores, score_results
from knowncircuits.evaluation.comparison.summary import summarise
from knowncircuits.evaluation.runs.results import read_results
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.evaluation.task import make_task
from knowncircuits.evaluation.truth.enumeration import set_truth
from knowncircuits.models.wired import hosted

MODELS = [("gate_or_2", "compiled"), ("gate_and_2", "compiled")]


def directed(method: str, direction: str) -> Settings:
    return Settings(method, n_pairs=4, corruption=direction)


def test_results_know_sets(tmp_path: Path) -> None:
    settings = [directed(method, "on-off") for method in ("exact", "truth", "inverted-truth")]
    computed = run(settings, MODELS, tmp_path)
    read = {(r.label, r.case): r for r in read_results(tmp_path)}
    for result in computed:
        stored = read[result.label, result.case]
        assert stored.circuit == result.circuit
        assert stored.circuit.sets is not None
        assert stored.circuit.sets.pairs == stored.settings["corruption"] == "on-off"
    table = score_results(computed)
    edges = table[table["view"] == "edge"].set_index(["method", "case"])
    assert (edges.loc["truth", ["economy", "best_match"]] == 1).all(axis=None)
    # Of an OR exact tells two of six edges from none, of an AND all.
    assert edges.loc[("exact", "gate_or_2"), "economy"] == pytest.approx(4 / 21)
    assert edges.loc[("exact", "gate_and_2"), "economy"] == 1
    assert (edges.loc["inverted-truth", "best_match"] == 0).all()
    assert table[table["view"] != "edge"]["economy"].isna().all()
    (summary,) = summarise(table)
    assert (summary.suite, summary.n_cases) == ("compiled hard", 2)
    economies = summary.table.set_index("method")["economy"]
    assert economies["exact"] == pytest.approx((1 + 4 / 21) / 2)
    assert case_scores(table[table["method"] == "truth"])["best_match"].tolist() == [1, 1]


def test_hosted_models_are_a_suite_of_their_own(tmp_path: Path) -> None:
    """With the same truth under sets, by enumeration, at other places."""
    models = [(case, kind) for case, _ in MODELS for kind in ("compiled", "hosted")]
    results = run([directed("exact", "on-off"), directed("truth", "on-off")], models, tmp_path)
    suites = {summary.suite: summary for summary in summarise(score_results(results))}
    assert {*suites} == {"compiled hard", "hosted hard"}
    for result in results:
        assert result.zoo is None
        assert not result.own
        covering = [suite for suite, summary in suites.items() if summary.covers(result)]
        assert covering == [f"{result.variant} hard"]
    result = next(r for r in results if (r.case, r.variant) == ("gate_or_2", "hosted"))
    wired = hosted(load_case("gate_or_2"))
    task = make_task(wired, 4, direction="on-off")
    whole = replace(wired.compiled, model=wired.model, circuit=wired.circuit)
    enumerated = set_truth(whole, task.clean, task.corrupted, "on-off")
    known = result.circuit.sets
    assert known is not None
    for name in ("alone", "company", "idle"):
        assert set(getattr(known, name)) == set(getattr(enumerated, name))
    assert {*map(frozenset, known.minimal)} == {*map(frozenset, enumerated.minimal)}


def test_directions_are_runs_of_their_own(tmp_path: Path) -> None:
    (on_off,) = run([directed("exact", "on-off")], MODELS[:1], tmp_path)
    with pytest.raises(ResultError, match="corruption: expected 'off-on', got 'on-off'"):
        run([directed("exact", "off-on")], MODELS[:1], tmp_path)
    (off_on,) = run([directed("exact", "off-on")], MODELS[:1], tmp_path / "other")
    sizes = [len(r.circuit.sets.minimal) for r in (on_off, off_on) if r.circuit.sets]
    assert sizes == [2, 1]
    with pytest.raises(TaskError, match="a case that names a property"):
        run([directed("exact", "on-off")], [("fraction_of_x", "compiled")], tmp_path / "none")


def test_without_truth_under_sets_tables_have_no_such_columns(tmp_path: Path) -> None:
    results = run([Settings("exact", n_pairs=4)], [("fraction_of_x", "compiled")], tmp_path)
    table = score_results(results)
    assert not {"economy", "best_match"} & set(table.columns)
    assert results[0].circuit.sets is None
