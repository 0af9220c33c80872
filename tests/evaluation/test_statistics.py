"""Means, intervals, ranks and tests against plain computations and scipy's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, mannwhitneyu, wilcoxon

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.scoring.statistics import (
    a12,
    case_means,
    holm,
    interval_over_cases,
    interval_over_pairs,
    paired_tests,
    rank_ranges,
    shared_cases,
)


def table(rows: list[tuple[str, str, str, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["method", "case", "variant", "seed", "auroc"])


def random_table(seed: int, n_cases: int = 12) -> pd.DataFrame:
    """Two methods on cases of one or two models with three draws each."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n_cases):
        for variant in ("seed0", "seed1")[: 1 + i % 2]:
            for draw in range(3):
                value = random.uniform()
                rows.append(("a", f"case{i}", variant, draw, value))
                rows.append(("b", f"case{i}", variant, draw, value / 2 + random.uniform() / 2))
    return table(rows)


def test_a_case_counts_once_however_many_models_and_draws_it_has() -> None:
    rows = [("a", "x", "seed0", 0, 0.0), ("a", "x", "seed0", 1, 1.0), ("a", "x", "seed1", 0, 1.0)]
    means = case_means(table([*rows, ("b", "x", "seed0", 0, 0.2), ("a", "y", "seed0", 0, 0.5)]))
    assert means.loc["x"].tolist() == [0.75, 0.2]
    assert means.loc["y", "a"] == 0.5
    assert means["b"].isna().tolist() == [False, True]
    assert shared_cases(means).index.tolist() == ["x"]
    with pytest.raises(ResultError, match="expected one row.*got two of a x seed0 0"):
        case_means(table([rows[0], rows[0]]))


def test_intervals_over_cases_are_those_of_scipys_bootstrap() -> None:
    means = case_means(random_table(0, 40))
    found = interval_over_cases(means)
    for method in means.columns:
        judge = bootstrap((means[method],), np.mean, method="percentile", rng=1).confidence_interval
        assert found[method].low == pytest.approx(judge.low, abs=0.01)
        assert found[method].high == pytest.approx(judge.high, abs=0.01)
        assert found[method].low < means[method].mean() < found[method].high
    assert interval_over_cases(means) == found


def test_intervals_over_pairs_resample_the_draws_of_each_model() -> None:
    frame = random_table(1)
    found = interval_over_pairs(frame)
    random, means = np.random.default_rng(2), []
    groups = [g["auroc"].to_numpy() for _, g in frame[frame["method"] == "a"].groupby("variant")]
    rows = frame[frame["method"] == "a"]
    models = {key: g["auroc"].to_numpy() for key, g in rows.groupby(["case", "variant"])}
    assert len(groups) == 2
    for _ in range(3_000):
        drawn = pd.Series({key: random.choice(v, len(v)).mean() for key, v in models.items()})
        means.append(drawn.groupby(level=0).mean().mean())
    low, high = np.quantile(means, [0.025, 0.975])
    interval = found["a"]
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.01)
    assert interval_over_pairs(frame[frame["seed"] == 0]) == {"a": None, "b": None}


def test_ranks_are_sure_where_methods_are_far_apart() -> None:
    means = pd.DataFrame({"good": [0.9, 0.8, 0.9], "bad": [0.1, 0.2, 0.3], "same": [0.9, 0.8, 0.9]})
    assert rank_ranges(means) == {"good": (1, 1), "bad": (3, 3), "same": (1, 1)}
    near = pd.DataFrame({"a": [0.5, 0.9, 0.1, 0.7], "b": [0.6, 0.8, 0.2, 0.6]})
    assert rank_ranges(near) == {"a": (1, 2), "b": (1, 2)}


def test_tests_are_scipys() -> None:
    means = case_means(random_table(3, 30))
    (row,) = paired_tests(means).to_dict("records")
    judge = wilcoxon(means["a"], means["b"])
    above = mannwhitneyu(means["a"], means["b"]).statistic / len(means) ** 2
    assert row["p"] == row["p_holm"] == pytest.approx(judge.pvalue)
    assert row["a12"] == pytest.approx(above)
    assert row["difference"] == pytest.approx((means["a"] - means["b"]).mean())
    assert row["wins"] + row["losses"] + row["ties"] == 30


def test_equal_methods_are_not_told_apart() -> None:
    means = pd.DataFrame({name: [0.5, 1.0, 1.0, 0.7, 1.0] for name in "abc"})
    tests = paired_tests(means)
    assert len(tests) == 3
    assert tests[["p", "p_holm", "a12", "ties"]].to_numpy().tolist() == [[1.0, 1.0, 0.5, 5]] * 3
    assert paired_tests(means[["a"]]).empty


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.lists(st.integers(0, 4), min_size=1))
def test_a12_counts_pairs(first: list[int], second: list[int]) -> None:
    wins = sum((a > b) + (a == b) / 2 for a in first for b in second)
    found = a12(np.array(first, dtype=float), np.array(second, dtype=float))
    assert found == pytest.approx(wins / len(first) / len(second))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_correction_rejects_what_holms_procedure_does(p: list[float]) -> None:
    corrected = holm(np.array(p))
    for alpha in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        for n, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[i] * (len(p) - n) > alpha:
                break
            rejected.add(i)
        assert {i for i, c in enumerate(corrected) if c <= alpha} == rejected
    ordered = corrected[np.argsort(p, kind="stable")].tolist()
    assert all(a <= b for a, b in pairwise([*ordered, 1.0]))
