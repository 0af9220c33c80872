"""Tables of results against scores one by one; summaries against what they are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from knowncircuits.cases import list_cases
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison.scored import case_scores, score_results
from knowncircuits.evaluation.comparison.statistics import case_means
from knowncircuits.evaluation.comparison.summary import suites_frame, summarise
from knowncircuits.evaluation.runs.results import Result
from knowncircuits.evaluation.runs.running import run
from knowncircuits.evaluation.runs.settings import Settings
from knowncircuits.evaluation.scoring.scores import score_views
from knowncircuits.evaluation.scoring.views import VIEWS

MODELS = [
    ("fraction_of_x", "seed0"),
    ("fraction_of_x", "shuffled"),
    ("histogram", "seed0"),
    ("identity", "seed0"),
]
METHODS = ("eap", "random", "truth", "inverted-truth", "depth")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    settings = [Settings(method, 10) for method in METHODS]
    settings.append(Settings("sp", 10, options={"steps": 3}))
    return run(settings, MODELS, tmp_path_factory.mktemp("results"), seeds=(0, 1), zoo=1)


def test_many_results_are_scored_as_each_by_itself(results: list[Result]) -> None:
    table = score_results(results)
    assert len(table) == len(results) * len(VIEWS)
    rows = iter(table.to_dict("records"))
    for result in results:
        for view, found in score_views(result.scores, result.circuit).items():
            row = next(rows)
            key = (result.label, result.case, result.variant, result.seed, view)
            assert (row["method"], row["case"], row["variant"], row["seed"], row["view"]) == key
            for name in ("auroc", "average_precision", "precision_at_size"):
                assert row[name] == pytest.approx(getattr(found, name))
            assert (row["n_true"], row["n_determined"]) == (found.n_true, found.n_determined)
            assert (result.label == "sp") == (found.chosen is not None)
            np.testing.assert_equal(row["f1"], found.chosen.f1 if found.chosen else np.nan)
            assert row["forward_passes"] == result.scores.forward_passes
            assert row["n_pairs"] == 10
            assert row["zoo"] == 1


def test_results_of_two_zoos_are_no_mean(results: list[Result]) -> None:
    """Older results, which say none, are of zoo 1; own and compiled models are of no zoo."""
    older = []
    for result in results:
        settings = {key: said for key, said in result.settings.items() if key != "zoo"}
        older.append(replace(result, settings=settings))
    compiled = replace(results[0], variant="compiled")
    assert [result.zoo for result in (older[0], compiled)] == [1, None]
    table = score_results([*older, compiled])
    assert table["zoo"].dropna().unique() == [1]
    assert "cases of zoo 1 (AUROC" in summarise(table)[0].title
    other = replace(results[0], settings={**results[0].settings, "zoo": 2})
    counts = f"{len(results) - 1} of zoo 1, 1 of zoo 2"
    with pytest.raises(ResultError, match=f"expected results on models of one zoo, got {counts}"):
        score_results([other, *older[1:]])


def test_the_cases_of_one_method_are_means_over_models_and_draws(results: list[Result]) -> None:
    table = score_results([r for r in results if r.label == "random"])
    cases = case_scores(table).set_index("case")
    assert cases.index.tolist() == ["fraction_of_x", "histogram", "identity"]
    assert cases["models"].tolist() == [2, 1, 1]
    edges = table[(table["view"] == "edge") & (table["case"] == "fraction_of_x")]
    assert len(edges) == 4  # two models of two draws
    assert cases.loc["fraction_of_x", "auroc"] == pytest.approx(edges["auroc"].mean())


def test_summaries_are_put_into_one_frame(results: list[Result]) -> None:
    summaries = summarise(score_results(results))
    frame = suites_frame(summaries)
    assert frame.groupby("suite")["cases"].unique().map(list).to_dict() == {
        "structural": [2],
        "degenerate": [1],
    }
    assert len(frame) == sum(len(summary.table) for summary in summaries)
    assert suites_frame([]).empty


def test_summaries_keep_degenerate_cases_apart(results: list[Result]) -> None:
    table = score_results(results)
    structural, degenerate = summarise(table)
    assert (structural.n_cases, degenerate.n_cases) == (2, 1)
    assert structural.left_out == ()
    rows = structural.table.set_index("method")
    edges = table[table["view"] == "edge"]
    means = case_means(edges[edges["case"] != "identity"])
    assert rows["auroc"].to_dict() == pytest.approx(means.mean().to_dict())
    assert rows["auroc"].is_monotonic_decreasing
    assert rows.index[-1] == "inverted-truth"
    assert rows.filter(regex="_low|_high").isna().all(axis=None)  # of two cases
    others = ["no-embed", "circuit-nodes", "circuit-nodes_ap", "head", "node"]
    assert rows.loc["truth", ["auroc", *others]].tolist() == [1.0] * 6
    assert rows.loc["inverted-truth", ["auroc", "no-embed"]].tolist() == [0.0] * 2
    assert rows.loc["eap", ["forward_passes", "backward_passes"]].tolist() == [2.0, 1.0]
    assert rows["f1"].notna().to_dict() == {m: m == "sp" for m in rows.index}


def test_summaries_do_not_depend_on_the_order_of_results(results: list[Result]) -> None:
    """`score` has results in the order in which they were run, `compare` in that of folders."""
    table = score_results([r for r in results if r.case == "histogram"])
    random = np.random.default_rng(0)
    cases = []
    for name in list_cases("structural")[:12]:
        case = table.assign(case=name)
        case["auroc"] *= random.uniform(0.9, 1, size=len(table))
        cases.append(case)
    many = pd.concat(cases, ignore_index=True)
    (once,) = summarise(many)
    assert (once.table["auroc_low"] <= once.table["auroc"]).all()
    assert (once.table["auroc"] < once.table["auroc_high"]).all()
    assert (once.table["rank_low"] >= 1).all()
    for seed in range(3):
        (again,) = summarise(many.sample(frac=1, random_state=seed))
        pd.testing.assert_frame_equal(again.table, once.table, check_exact=True)


def test_only_cases_that_all_methods_have_are_compared(results: list[Result]) -> None:
    some = [r for r in results if (r.label, r.case) != ("eap", "histogram")]
    (structural, _) = summarise(score_results(some))
    assert structural.n_cases == 1
    assert structural.left_out == ("histogram",)
    assert "left out: histogram" in structural.title
    none = [r for r in results if (r.label == "eap") == (r.case == "histogram")]
    assert [s.suite for s in summarise(score_results(none))] == ["degenerate"]
