"""Means, ranks and tests against plain computations and scipy's."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu, rankdata

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison.statistics import (
    a12,
    case_means,
    holm,
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


def better_of(tests: pd.DataFrame) -> dict[str, set[str]]:
    """Of each method those that are better by a table of tests."""
    better: dict[str, set[str]] = {}
    for row in tests.itertuples():
        better.setdefault(row.a, set())
        better.setdefault(row.b, set())
        if row.p_holm <= 0.05 and (row.wins > row.losses) == (row.difference > 0):
            worse, best = (row.b, row.a) if row.difference > 0 else (row.a, row.b)
            better[worse].add(best)
    return better


def test_ranks_are_what_the_tests_leave() -> None:
    random = np.random.default_rng(0)
    levels = np.repeat([0.3, 0.5, 0.7], 4)
    values = random.normal(levels, 0.1, size=(30, 12)).clip(0, 1)
    means = pd.DataFrame(values, columns=[f"m{i}" for i in range(12)])
    better = better_of(paired_tests(means))
    expected = {
        name: (1 + len(better[name]), 12 - sum(name in others for others in better.values()))
        for name in means
    }
    assert rank_ranges(means) == expected
    assert [expected[f"m{i}"] for i in (0, 4, 8)] == [(9, 12), (5, 8), (1, 4)]


def test_methods_that_are_far_apart_have_a_rank_and_equal_ones_share_theirs() -> None:
    good = np.linspace(0.8, 0.9, 12)
    means = pd.DataFrame({"good": good, "bad": good - 0.5, "same": good + 1e-15})
    assert rank_ranges(means) == {"good": (1, 2), "bad": (3, 3), "same": (1, 2)}
    assert rank_ranges(means.iloc[:9]) == {"good": None, "bad": None, "same": None}
    assert rank_ranges(means[["good"]]) == {"good": (1, 1)}
    assert rank_ranges(means[[]]) == {}


def test_a_method_that_wins_often_and_loses_high_is_not_above() -> None:
    often = np.array([0.9] * 18 + [0.0] * 2)
    assert rank_ranges(pd.DataFrame({"often": often, "even": [0.85] * 20})) == {
        "often": (1, 2),
        "even": (1, 2),
    }


@pytest.mark.parametrize("n", [10, 50])
def test_ten_equal_methods_hold_their_rank(n: int) -> None:
    """They share the first; ranks of a bootstrap's means leave it out for some method."""
    random = np.random.default_rng(n)
    names = list("abcdefghij")
    held = held_before = 0
    for _ in range(200):
        values = random.beta(8, 2, size=(n, 10))
        ranges = rank_ranges(pd.DataFrame(values, columns=names)).values()
        held += all(found is not None and found[0] == 1 for found in ranges)
        draws = random.multinomial(n, np.full(n, 1 / n), size=500) / n @ values
        before = np.quantile(rankdata(-draws.round(12), method="min", axis=1), 0.025, axis=0)
        held_before += (before == 1).all()
    assert held > 0.93 * 200
    assert held_before < 0.75 * 200


def test_tests_are_scipys() -> None:
    means = case_means(random_table(3, 30))
    (row,) = paired_tests(means).to_dict("records")
    wins = int((means["a"] > means["b"]).sum())
    above = mannwhitneyu(means["a"], means["b"]).statistic / len(means) ** 2
    assert row["p"] == row["p_holm"] == pytest.approx(binomtest(wins, 30).pvalue)
    assert row["a12"] == pytest.approx(above)
    assert row["difference"] == pytest.approx((means["a"] - means["b"]).mean())
    assert row["wins"] == wins
    assert row["wins"] + row["losses"] + row["ties"] == 30


def test_few_cases_are_never_told_apart() -> None:
    """Where five cases are won and none is lost, that is one of 16 ways, whatever the values."""
    for n, p in ((2, 0.5), (5, 2 / 32), (6, 2 / 64)):
        (row,) = paired_tests(pd.DataFrame({"a": [1.0] * n, "b": [0.0] * n})).to_dict("records")
        assert row["p"] == pytest.approx(p)


def test_equal_methods_are_not_told_apart() -> None:
    means = pd.DataFrame({name: [0.5, 1.0, 1.0, 0.7, 1.0] for name in "abc"})
    tests = paired_tests(means)
    assert len(tests) == 3
    assert tests[["p", "p_holm", "a12", "ties"]].to_numpy().tolist() == [[1.0, 1.0, 0.5, 5]] * 3
    assert paired_tests(means[["a"]]).empty


def test_many_methods_need_no_table_of_all_cases_of_all_pairs() -> None:
    """1,200 methods are 719,400 pairs: their differences on 50 cases alone are 290 MB."""
    random = np.random.default_rng(0)
    levels = random.uniform(0.2, 0.8, size=400)
    values = random.normal(levels, 0.1, size=(50, 400)).round(1)
    means = pd.DataFrame(values, columns=[f"m{i}" for i in range(400)])
    tracemalloc.start()
    tests = paired_tests(means)
    ranks = rank_ranges(means)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(tests) == 79_800
    assert peak / len(tests) < 200  # bytes for a pair, of which the table has 80
    some = tests.sample(50, random_state=0)
    for row in some.itertuples():
        a, b = means[row.a], means[row.b]
        assert (row.wins, row.losses) == ((a > b).sum(), (a < b).sum())
        assert row.a12 == pytest.approx(mannwhitneyu(a, b).statistic / 2500)
    better = better_of(tests)
    assert {name: found and found[0] for name, found in ranks.items()} == {
        name: 1 + len(better[name]) for name in means
    }


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=8),
    st.lists(st.integers(0, 4), min_size=1),
)
def test_a12_counts_pairs(first: list[int], second: list[int]) -> None:
    wins = sum((a > b) + (a == b) / 2 for a in first for b in second)
    (found,) = a12(np.array(first, dtype=float), np.array([second], dtype=float).T)
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
