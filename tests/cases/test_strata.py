"""Strata: different pairs of the split, every answer with its share, only inputs that are meant."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits import rasp
from knowncircuits.cases import CASES, Case, draw_stratum, load_case, strata_of
from knowncircuits.cases.pools import broad_pool
from knowncircuits.cases.sampling import enumerate_inputs, in_split
from knowncircuits.cases.strata import FEWEST, KINDS
from knowncircuits.errors import InputError, UnknownNameError
from knowncircuits.rasp import Value
from parts import twelve_first

quick = st.sampled_from(
    ["fraction_of_x", "histogram", "frequency", "trend", "double_minus_index", "polynomial"]
)


def rows(codes: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, codes.tolist()))


kinds = st.sampled_from(KINDS)


def says(case: Case, codes: np.ndarray) -> list[set[Value]]:
    """The answers of each input."""
    return [set(row) for row in case.interpret([[case.vocab[i] for i in row] for row in codes])]


@given(quick, st.integers(0, 2), st.sampled_from([None, "train", "test"]), st.data())
def test_pairs_of_every_stratum_differ_and_say_which_are_beyond_the_split(
    name: str, seed: int, split: str | None, data: st.DataObject
) -> None:
    case = load_case(name)
    stratum = data.draw(st.sampled_from(strata_of(case)))
    drawn = draw_stratum(case, stratum, 41, seed, split=split)
    length = int(stratum.removeprefix("length:")) if "length" in stratum else case.lengths[-1]
    assert drawn.base.shape == drawn.source.shape == (41, length)
    assert (drawn.base != drawn.source).any(1).all()
    outside = [~in_split(c, len(case.vocab), split) for c in (drawn.base, drawn.source)]
    assert drawn.n_beyond == (outside[0] | outside[1]).sum()
    again = draw_stratum(case, stratum, 41, seed, split=split)
    assert np.array_equal(drawn.base, again.base)
    assert np.array_equal(drawn.source, again.source)
    other = draw_stratum(case, stratum, 41, seed + 1, split=split)
    assert not np.array_equal(
        np.stack([drawn.base, drawn.source]), np.stack([other.base, other.source])
    )


@given(kinds, st.sampled_from(["train", "test"]))
def test_a_split_that_has_enough_is_kept_to(kind: str, split: str) -> None:
    case = load_case("type_boundary")  # three answers, each of thousands of inputs
    assert draw_stratum(case, kind, 100, 0, split=split).n_beyond == 0


def test_a_split_that_has_too_few_is_left() -> None:
    case = load_case("fraction_of_x")
    assert in_split(enumerate_inputs(4, 4), 4, "test").sum() < FEWEST
    drawn = draw_stratum(case, "sampler", 400, 0, split="test")
    assert rows(drawn.base) - rows(case.draw(1000, 0, split="test"))
    assert drawn.n_beyond > 300


def test_minimal_pairs_differ_in_one_token() -> None:
    for name in ("histogram", "frequency", "balanced_parentheses"):
        drawn = draw_stratum(load_case(name), "minimal", 300, 0)
        assert ((drawn.base != drawn.source).sum(1) == 1).all()
        places = np.nonzero(drawn.base != drawn.source)[1]
        assert set(places.tolist()) == set(range(9))


@pytest.mark.parametrize("name", ["histogram", "frequency", "maximum", "is_increasing", "trend"])
def test_balanced_inputs_have_every_answer_as_often(name: str) -> None:
    case = load_case(name)
    drawn = draw_stratum(case, "balanced", 900, 0)
    found = says(case, drawn.base)
    answers = set.union(*found, *says(case, case.draw(300, 0)))
    if name == "frequency":
        assert answers == set(range(1, 10))
    for answer in answers:
        share = np.mean([answer in some for some in found])
        assert share > 0.7 / len(answers), answer
    # Where inputs have one answer each, the shares are equal.
    if all(len(some) == 1 for some in found):
        shares = [np.mean([answer in some for some in found]) for answer in answers]
        assert max(shares) < 1.4 / len(answers)


def test_every_answer_is_found_where_it_can_be_listed() -> None:
    case = dataclasses.replace(load_case("frequency"), max_len=5)  # 100,000 inputs
    n_answers = len(np.unique(case.outputs(case.enumerate()).codes))
    pool = broad_pool(case, 5, 0)
    assert len(pool.codes) < case.n_inputs()
    assert pool.n_answers == n_answers == 5
    inputs = np.split(pool.inputs, pool.starts[1:-1])
    expected = [set(row) for row in case.outputs(pool.codes).decode()]
    for places in inputs:  # those of one answer have one in common, and no other input has it
        common = set.intersection(*(expected[i] for i in places))
        assert any(sum(answer in some for some in expected) == len(places) for answer in common)


def test_numbers_as_near_as_the_tolerance_are_one_answer() -> None:
    case = Case("share", "test", "A share.", load_case("fraction_of_x").program, ("a", "x"), 12)
    fine, coarse = broad_pool(case, 12, 0, 1e-6), broad_pool(case, 12, 0, 0.5)
    assert fine.n_answers == len({Fraction(a, b) for b in range(1, 13) for a in range(b + 1)})
    assert coarse.n_answers == 3


def test_skewed_inputs_have_few_tokens() -> None:
    case = load_case("count_greater")
    skewed, uniform = (draw_stratum(case, kind, 500, 0).base for kind in ("skewed", "sampler"))
    n_different = [
        np.mean([len(set(row)) for row in codes.tolist()]) for codes in (skewed, uniform)
    ]
    assert n_different[0] < n_different[1] - 2
    assert set(skewed.ravel().tolist()) == set(range(len(case.vocab)))


@pytest.mark.parametrize("name", twelve_first(CASES))
def test_lengths_are_those_on_which_the_program_says_something(name: str) -> None:
    case = load_case(name)
    assert case.lengths[-1] == case.max_len
    if case.only_lengths is not None:
        return
    for length in range(1, case.max_len + 1):
        said = set.union(*says(case, case.draw(20, 0, length)))
        assert (length in case.lengths) == (said != {None}), length


def test_a_case_may_state_its_lengths() -> None:
    case = dataclasses.replace(load_case("histogram"), only_lengths=(9, 4))
    assert case.lengths == (4, 9)
    assert strata_of(case) == (*KINDS, "length:4")
    for wrong in ((), (0, 9), (3, 10), (3,)):
        with pytest.raises(InputError, match="expected"):
            dataclasses.replace(case, only_lengths=wrong)


@given(kinds, st.sampled_from([None, "test"]), st.booleans())
def test_only_meant_inputs_are_drawn(kind: str, split: str | None, listed: bool) -> None:
    def has_one_x(tokens: tuple[Value, ...]) -> bool:
        return tokens.count("x") == 1

    def one_x(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        """One x."""
        codes = rng.integers(n_tokens - 1, size=(n, length))
        codes[np.arange(n), rng.integers(length, size=n)] = n_tokens - 1
        return codes

    vocab = ("a", "b", "x")
    where = rasp.Aggregate(rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ), rasp.indices)
    every = [tuple(vocab[i] for i in row) for row in enumerate_inputs(3, 6)]
    inputs = [x for x in every if has_one_x(x)] if listed else has_one_x
    case = Case("one_x", "test", "x.", where, vocab, 6, sampler=one_x, inputs=inputs)
    assert case.lengths == ((6,) if listed else (1, 2, 3, 4, 5, 6)[1:])
    drawn = draw_stratum(case, kind, 200, 0, split=split)
    for codes in (drawn.base, drawn.source):
        assert ((codes == 2).sum(1) == 1).all()


def test_errors_of_strata() -> None:
    case = load_case("histogram")
    with pytest.raises(UnknownNameError, match="length:3"):
        draw_stratum(case, "length:33", 1, 0)
    with pytest.raises(UnknownNameError, match="split"):
        draw_stratum(case, "sampler", 1, 0, split="validation")
    with pytest.raises(InputError, match="at least one pair"):
        draw_stratum(case, "sampler", 0, 0)
    with pytest.raises(InputError, match="1 to 9 tokens"):
        draw_stratum(case, "sampler", 1, 0, length=10)
    with pytest.raises(InputError, match="no other length"):
        draw_stratum(case, "length:3", 1, 0, length=4)
    only = Case("one", "test", "One.", rasp.tokens, ("a",), 3)
    with pytest.raises(InputError, match="another one of 3 tokens, found none for 5"):
        draw_stratum(dataclasses.replace(only, only_lengths=(3,)), "skewed", 5, 0)
