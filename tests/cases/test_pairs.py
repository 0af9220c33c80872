"""Pairs: always different, the smallest change that counts, one variable and little else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits import rasp
from knowncircuits.cases import CASES, Case, Pairs, draw_pairs, load_case
from knowncircuits.cases.pairs import output_changes
from knowncircuits.cases.sampling import enumerate_inputs, in_split
from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.rasp import Value

names = st.sampled_from(sorted(set(CASES) - {"fraction_of_x_long"}))


def answers_differ(case: Case, clean: np.ndarray, corrupted: np.ndarray) -> list[bool]:
    """By decoded values, one pair after the other: an implementation of its own."""

    def tokens(codes: np.ndarray) -> list[list[Value]]:
        return [[case.vocab[i] for i in row] for row in codes]

    answers = zip(case.interpret(tokens(clean)), case.interpret(tokens(corrupted)), strict=True)
    return [
        any(x != y for x, y in zip(a, b, strict=True) if x is not None or set(a) == {None})
        for a, b in answers
    ]


@given(
    names,
    st.integers(0, 3),
    st.sampled_from(["resample", "minimal", "variable:tokens"]),
    st.sampled_from([None, "train", "test"]),
)
def test_pairs_differ_within_their_split(
    name: str, seed: int, corruption: str, split: str | None
) -> None:
    case = load_case(name)
    pairs = draw_pairs(case, 10, seed, corruption, split=split)
    assert (pairs.clean != pairs.corrupted).any(1).all()
    for codes in (pairs.clean, pairs.corrupted):
        assert codes.shape == (10, case.max_len)
        assert in_split(codes, len(case.vocab), split).all()
    again = draw_pairs(case, 10, seed, corruption, split=split)
    assert np.array_equal(pairs.corrupted, again.corrupted)
    assert np.array_equal(pairs.clean, draw_pairs(case, 10, seed, split=split).clean)


@given(names, st.integers(0, 3))
def test_minimal_pairs_change_the_output(name: str, seed: int) -> None:
    case = load_case(name)
    pairs = draw_pairs(case, 10, seed, "minimal")
    assert all(answers_differ(case, pairs.clean, pairs.corrupted))
    assert (pairs.n_replaced > 3).sum() <= pairs.n_resampled


def test_minimal_pairs_are_minimal() -> None:
    case = dataclasses.replace(load_case("any_two_equal"), max_len=4)
    pairs = draw_pairs(case, 60, 0, "minimal")
    assert pairs.n_resampled == 0
    for clean, n_replaced in zip(pairs.clean, pairs.n_replaced, strict=True):
        singles = enumerate_inputs(11, 4)
        singles = singles[(singles != clean).sum(1) == 1]
        can = any(answers_differ(case, np.tile(clean, (len(singles), 1)), singles))
        assert n_replaced == 1 if can else n_replaced > 1


def test_all_single_changes_that_count_are_equally_likely() -> None:
    case = Case("max", "test", "The greatest.", rasp.tokens, tuple(range(3)), 2, sampler=zeros)
    pairs = draw_pairs(case, 4_000, 0, "minimal")
    _, counts = np.unique(pairs.corrupted, axis=0, return_counts=True)
    assert len(counts) == 4
    assert counts.min() > 900


def zeros(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
    """Zeros."""
    return np.zeros((n, length), dtype=np.int64)


def test_where_no_small_change_counts_another_input_is_drawn() -> None:
    pairs = draw_pairs(load_case("is_increasing"), 50, 0, "minimal")
    assert pairs.n_resampled == (pairs.n_replaced > 3).sum() > 0


def test_a_change_of_one_variable_spares_the_others() -> None:
    has_a = rasp.Map(lambda x: x == "a", rasp.tokens).named("is_a")
    has_b = rasp.Map(lambda x: x == "b", rasp.tokens).named("is_b")
    case = Case("ab", "test", "Either.", (has_a | has_b).named("either"), ("a", "b", "c"), 4)
    pairs = draw_pairs(case, 100, 0, "variable:is_a")
    is_a, is_b = ([codes == code for codes in (pairs.clean, pairs.corrupted)] for code in (0, 1))
    assert (is_a[0] != is_a[1]).any(1).all()
    assert pairs.side_effects is not None
    assert np.array_equal(pairs.side_effects, (is_b[0] != is_b[1]).any(1))
    possible = ((pairs.clean == 0) | (pairs.clean == 2)).any(1)  # from a to c, or back
    assert (pairs.side_effects == ~possible).all()
    assert (pairs.n_replaced == 1).all()


def test_variables_of_a_case() -> None:
    case = load_case("balanced_parentheses")
    pairs = draw_pairs(case, 30, 0, "variable:balance_()")
    curly = [np.isin(codes, [3, 4]) * codes for codes in (pairs.clean, pairs.corrupted)]
    assert pairs.side_effects is not None
    assert (pairs.side_effects == 0).mean() > 0.5
    assert (curly[0] == curly[1]).all(1)[pairs.side_effects == 0].all()


def test_what_counts() -> None:
    clean, corrupted = np.array([[-1, 0, 1], [-1, -1, -1]]), np.array([[3, 0, 2], [-1, 4, -1]])
    changes = output_changes(clean, corrupted)
    assert changes.tolist() == [[False, False, True], [False, True, False]]


def test_wrong_corruptions() -> None:
    case = load_case("fraction_of_x")
    with pytest.raises(TaskError, match="at least one pair, got 0"):
        draw_pairs(case, 0)
    with pytest.raises(UnknownNameError, match="did you mean minimal"):
        draw_pairs(case, 5, corruption="minimum")
    for corruption in ("variable", "variable:"):
        with pytest.raises(UnknownNameError, match="variable:NAME"):
            draw_pairs(case, 5, corruption=corruption)
    with pytest.raises(UnknownNameError, match="unknown variable 'is_y'; did you mean is_x"):
        draw_pairs(case, 5, corruption="variable:is_y")
    with pytest.raises(TaskError, match="differs in indices, found none for 5 of 5"):
        draw_pairs(case, 5, corruption="variable:indices")


def test_impossible_pairs() -> None:
    constant = Case("one", "test", "One.", rasp.Map(lambda x: 1, rasp.tokens), ("a", "b"), 3)
    with pytest.raises(TaskError, match="with another output, found none for 5 of 5, such as"):
        draw_pairs(constant, 5, corruption="minimal")
    single = Case("single", "test", "Itself.", rasp.tokens, ("a",), 3)
    with pytest.raises(TaskError, match="5 equal pairs of 5, the first at 0"):
        draw_pairs(single, 5)
    with pytest.raises(TaskError, match="at least two tokens"):
        draw_pairs(single, 5, corruption="minimal")
    with pytest.raises(TaskError, match="1 equal pairs of 2, the first at 1"):
        Pairs(np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, 1]]))
