"""The registry's own promises: names, families, descriptions, and inputs of every length."""

from collections import Counter

import numpy as np
import pytest

from knowncircuits.cases import CASES, Case, list_cases, load_case
from knowncircuits.cases.registry import FAMILIES
from knowncircuits.errors import UnknownNameError
from parts import twelve_first

# Cases that say everywhere whether the input has a property.
YES_OR_NO = (
    "palindrome",
    "is_increasing",
    "is_descending",
    "any_two_equal",
    "last_two_equal",
    "all_equal",
    "alternating_parity",
    "all_multiples_of_two",
    "balanced_parentheses",
)

every_case = pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)


def test_names_are_unique_and_families_are_modules() -> None:
    assert sum(len(family.CASES) for family in FAMILIES) == len(CASES)
    for family in FAMILIES:
        module = family.__name__.rsplit(".", 1)[-1]
        assert {case.family for case in family.CASES} == {module}
        assert list_cases(family=module) == [case.name for case in family.CASES]


def test_interpbench_ids_are_unique() -> None:
    ids = Counter(case.interpbench_id for case in CASES.values() if case.interpbench_id)
    assert set(ids.values()) == {1}
    assert list_cases(interpbench_id=3) == ["fraction_of_x"]


def test_descriptions_are_one_sentence_each() -> None:
    for case in CASES.values():
        assert case.description.endswith(".")
        assert "\n" not in case.description
    repeated = Counter(case.description for case in CASES.values())
    assert max(repeated.values()) == 1


def test_unknown_names_are_told_with_close_ones() -> None:
    with pytest.raises(UnknownNameError, match="histogram"):
        load_case("histogramm")
    with pytest.raises(UnknownNameError, match="interpbench"):
        list_cases("interpbanch")
    with pytest.raises(UnknownNameError, match="counting"):
        list_cases(family="countng")


@pytest.mark.parametrize("name", twelve_first(CASES))
def test_inputs_of_every_length_have_outputs(name: str) -> None:
    case = load_case(name)
    for length in range(1, case.max_len + 1):
        codes = case.draw(20, seed=0, length=length)
        assert codes.shape == (20, length)
        assert set(np.unique(codes)) <= set(range(len(case.vocab)))
        assert case.outputs(codes).codes.shape == (20, length)


@every_case
def test_inputs_are_reproducible_and_vary(case: Case) -> None:
    assert np.array_equal(case.draw(50, seed=1), case.draw(50, seed=1))
    assert not np.array_equal(case.draw(50, seed=1), case.draw(50, seed=2))
    assert case.sample(50, seed=1) == [[case.vocab[i] for i in x] for x in case.draw(50, seed=1)]


@pytest.mark.parametrize("name", YES_OR_NO)
def test_both_answers_are_common(name: str) -> None:
    case = load_case(name)
    answers = case.outputs(case.draw(2_000, seed=0)).decode()
    assert 0.35 < np.mean([all(row) for row in answers]) < 0.75


def test_sorted_inputs_are_common_where_they_are_inverted() -> None:
    case = load_case("invert_if_sorted")
    codes = case.draw(2_000, seed=0)
    assert 0.4 < (np.diff(codes) >= 0).all(1).mean() < 0.7


def test_patterns_are_common_where_they_are_sought() -> None:
    case = load_case("contains_abc")
    answers = case.outputs(case.draw(2_000, seed=0)).decode()
    assert 0.5 < np.mean([True in row for row in answers]) < 0.8
    assert case.draw(10, seed=0, length=2).shape == (10, 2)


@pytest.mark.parametrize("name", ["maximum", "scale_by_maximum"])
def test_every_maximum_is_common(name: str) -> None:
    maxima = load_case(name).draw(2_000, seed=0).max(1)
    assert np.bincount(maxima, minlength=11).min() > 2_000 / 11 / 2
