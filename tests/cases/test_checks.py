"""The data of every case are sound, and unsound data are found out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from knowncircuits import rasp
from knowncircuits.cases import CASES, Case, check_case, check_cases, load_case
from knowncircuits.errors import InputError
from parts import twelve_first

every_case = pytest.mark.parametrize("name", twelve_first(CASES))


@pytest.mark.parametrize(
    "split", [None, *(pytest.param(split, marks=pytest.mark.long) for split in ("train", "test"))]
)
@every_case
def test_no_case_has_problems(name: str, split: str | None) -> None:
    assert check_case(load_case(name), split=split).problems == ()


def test_figures_of_a_small_case() -> None:
    check = check_case(load_case("fraction_of_x"))
    assert check.changed_inputs == 1
    assert check.duplicates == pytest.approx(1 - 249 / 1000, abs=0.01)
    assert check.distinct == pytest.approx(249 / 256, abs=0.03)
    # x or not, with a quarter of x: two such draws differ with 2 * 1/4 * 3/4
    assert check.label_change_at[0] == pytest.approx(0.375, abs=0.05)
    assert check.unreached_tokens == check.unreached_outputs == check.constant_positions == ()


def test_entropy_is_over_defined_positions() -> None:
    check = check_case(load_case("first_element"), n=4_000)
    assert check.entropy == pytest.approx(np.log2(10), abs=0.01)
    none = check_case(load_case("drop_repeated_neighbour"), n=2_000)
    assert none.entropy == pytest.approx(np.log2(3), abs=0.01)
    assert none.none == pytest.approx((1 + 13 / 3) / 14, abs=0.01)
    assert np.isnan(none.label_change_at[0])
    assert none.constant_positions == (0,)


def test_positions_and_outputs_that_are_always_the_same() -> None:
    check = check_case(load_case("keep_index_one"))
    assert check.constant_positions == (0, 2, 3, 4, 5, 6, 7, 8)
    assert not check.constant
    assert len(check_case(load_case("median")).unreached_outputs or ()) >= 10  # the halves


def never_last(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
    """Every token but the last."""
    return rng.integers(n_tokens - 1, size=(n, length))


def two_inputs(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
    """One token everywhere, of two."""
    return np.repeat(rng.integers(2, size=(n, 1)), length, axis=1)


def broken(name: str) -> Case:
    letters = load_case("histogram")
    rare = rasp.Map(lambda x: True if x == 99 else None, rasp.tokens)
    return {
        "tokens in no input: 'c'": dataclasses.replace(letters, sampler=never_last),
        "different inputs are": dataclasses.replace(letters, sampler=two_inputs),
        "same on every input": dataclasses.replace(letters, program=rasp.make_length()),
        "the output differs in": dataclasses.replace(
            letters, program=rasp.make_count(rasp.tokens, "a") == 9
        ),
        "bits, expected": dataclasses.replace(
            letters, program=rasp.make_count(rasp.tokens, "a") == 9
        ),
        "outputs are None": dataclasses.replace(letters, vocab=tuple(range(100)), program=rare),
    }[name]


@pytest.mark.parametrize(
    "problem",
    [
        "tokens in no input: 'c'",
        "different inputs are",
        "same on every input",
        "the output differs in",
        "bits, expected",
        "outputs are None",
    ],
)
def test_problems_are_found(problem: str) -> None:
    assert any(problem in found for found in check_case(broken(problem)).problems)


def test_equal_pairs_would_be_found() -> None:
    check = dataclasses.replace(check_case(load_case("histogram")), changed_inputs=0.99)
    assert check.problems == ("1.0% of corrupted inputs equal the clean ones",)


def test_table() -> None:
    cases = [load_case(name) for name in ("histogram", "keep_index_one")]
    table = check_cases([*cases, broken("same on every input")], n=200)
    assert table["case"].tolist() == ["histogram", "keep_index_one", "histogram"]
    assert table["constant_positions"].tolist() == [0, 8, 9]
    assert table["label_change_at"].iloc[1] > 0.5
    assert table["problems"].iloc[:2].tolist() == ["", ""]
    assert "; " in table["problems"].iloc[2]


def test_no_pairs() -> None:
    with pytest.raises(InputError, match="at least one pair to check, got 0"):
        check_case(load_case("histogram"), n=0)
