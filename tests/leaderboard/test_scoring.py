"""Scores are what the library's scoring of one vector says, and curves what scikit-learn says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from knowncircuits.evaluation.scoring.curves import roc_at
from knowncircuits.evaluation.scoring.scores import Scores, score
from knowncircuits.evaluation.scoring.views import VIEWS
from knowncircuits.leaderboard.scoring import RATES, roc_curves, score_submissions
from knowncircuits.leaderboard.submission import Submission
from knowncircuits.leaderboard.truth import Certified, certified_models
from knowncircuits.models.zoo import VARIANTS, load_model, shipped

Models = Mapping[str, Certified]
Make = Callable[..., Submission]


def test_the_certified_models_are_all_that_are_shipped() -> None:
    expected = {f"{case}/{v}" for v in VARIANTS[1] for case in shipped(1).names("all", v)}
    models = certified_models(1)
    assert set(models) == expected
    model = models["fraction_of_x/shuffled"]
    trained = load_model("fraction_of_x", "shuffled", zoo=1)
    assert model.circuit == trained.circuit
    assert trained.certificate is not None
    assert model.weights == trained.certificate.weights


@pytest.mark.parametrize("rank_by", ["signed", "absolute"])
def test_scores_are_those_of_one_vector_at_a_time(rank_by: str, make: Make, models: Models) -> None:
    submissions = [
        make("a", rank_by=rank_by),
        make("b", rank_by=rank_by, seed=1, seeds=(5,), keys=("fraction_of_x/seed1",)),
    ]
    table = score_submissions(submissions, models)
    assert len(table) == (2 * len(models) + 1) * len(VIEWS)
    for row in table.itertuples():
        submission = next(s for s in submissions if s.id == row.method)
        key = f"{row.case}/{row.variant}"
        place = submission.description.conventions.seeds.index(row.seed)
        circuit = models[key].circuit
        values = submission.scores[key][place]
        one = score(Scores(circuit.graph, values, "a", rank_by), circuit, row.view)  # type: ignore[arg-type]
        expected = [one.auroc, one.average_precision]
        got = [None if pd.isna(x) else x for x in (row.auroc, row.average_precision)]
        assert got == pytest.approx(expected, abs=1e-12)


def test_no_submission() -> None:
    table = score_submissions([])
    assert table.empty
    assert {"method", "view", "auroc"} <= set(table.columns)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=30))
def test_a_roc_curve_is_scikit_learns(items: list[tuple[bool, int]]) -> None:
    truth = np.array([t for t, _ in items])
    ranking = np.array([float(r) for _, r in items])
    assume(truth.any() and not truth.all())
    x, y, _ = roc_curve(truth, ranking, drop_intermediate=False)
    (curve,) = roc_at(truth, ranking[None], RATES)
    # Beside the steps, at which either end of a rise is right, the curves are one.
    for rate, got in zip(RATES, curve, strict=True):
        if not np.isclose(x, rate).any():
            assert got == pytest.approx(np.interp(rate, x, y))
        else:
            assert got == pytest.approx(y[np.isclose(x, rate)].max())


def test_the_mean_curve_is_over_seeds_then_models(make: Make, models: Models) -> None:
    """Its area is near the mean of the areas: the curve is read at 51 places."""
    submission = make(noise=1.0)
    curves = roc_curves([submission], models)
    table = score_submissions([submission], models)
    table = table[table["view"] == "edge"]
    for (_, case), curve in curves.items():
        by_model = table[table["case"] == case].groupby("variant")["auroc"].mean()
        area = float(((curve[1:] + curve[:-1]) / 2 * np.diff(RATES)).sum())
        assert area == pytest.approx(by_model.mean(), abs=0.01)


def test_a_perfect_and_an_inverted_method(make: Make, models: Models) -> None:
    perfect = make(noise=0.0)
    table = score_submissions([perfect], models)
    edges = table[table["view"] == "edge"]
    assert (edges["auroc"] == 1).all()
    key = "frequency/seed0"
    truth = perfect.scores[key][0] > 0
    determined = models[key].circuit.determined
    assert roc_auc_score(truth[determined], -perfect.scores[key][0][determined]) == 0


def test_rounding_ranks_as_nothing(make: Make, models: Models) -> None:
    """The truth to a millionth of a millionth: perfect in exact order, at random otherwise."""
    key = "frequency/seed0"
    perfect = make(noise=0.0, keys=(key,))
    values = 1e-12 * perfect.scores[key]
    values[:, np.flatnonzero(~models[key].circuit.determined)[0]] = 1.0
    tiny = replace(perfect, scores={key: values})
    for resolution, auroc in ((0, 1.0), (1e-6, 0.5), (1e-13, 1.0)):
        table = score_submissions([tiny], models, resolution=resolution)
        edges = table[table["view"] == "edge"]
        assert (edges["auroc"] == auroc).all()
        assert set(table["resolution"]) == {resolution}
        (curve,) = roc_curves([tiny], models, resolution=resolution).values()
        assert curve[0] == 2 * auroc - 1
