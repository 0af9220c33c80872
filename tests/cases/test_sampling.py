"""Sampling: seeded, unique on request, of several lengths, and split so that none leaks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowncircuits.cases import CASES, Case, load_case
from knowncircuits.cases.sampling import enumerate_inputs, hash_inputs, in_split, share_out
from knowncircuits.errors import InputError, UnknownNameError
from knowncircuits.evaluation.bench.sampling import bench_sampling

names = st.sampled_from(sorted(CASES))
every_case = pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)


def rows(codes: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, codes.tolist()))


def test_cases_say_how_their_inputs_are_drawn() -> None:
    assert load_case("histogram").sampling == "Every token equally likely, independently."
    assert load_case("all_equal").sampling == (
        "Half of the inputs: the first token everywhere. The others: half nearly so, half uniform."
    )
    for case in CASES.values():
        assert case.sampling.endswith(".")


@given(names, st.integers(0, 3), st.data())
def test_train_and_test_never_overlap(name: str, seed: int, data: st.DataObject) -> None:
    case = load_case(name)
    length = data.draw(st.integers(1, min(case.max_len, 12)))
    train = case.draw(200, seed, length, split="train")
    test = case.draw(100, data.draw(st.integers(0, 3)), length, split="test")
    assert len(train) == 200
    assert len(test) == 100
    assert not rows(train) & rows(test)


@pytest.mark.parametrize("split", ["train", "test"])
@every_case
def test_every_length_has_both_splits(case: Case, split: str) -> None:
    for length in range(1, case.max_len + 1):
        for n in (1, 100):
            codes = case.draw(n, 0, length, split=split)
            assert codes.shape == (n, length)
            assert in_split(codes, len(case.vocab), split).all()


@given(st.integers(2, 6), st.integers(1, 5))
def test_the_split_is_a_partition_with_both_sides(n_tokens: int, length: int) -> None:
    codes = enumerate_inputs(n_tokens, length)
    train, test = (in_split(codes, n_tokens, split) for split in ("train", "test"))
    assert (train ^ test).all()
    assert test.sum() == max(1, round(0.2 * len(codes)))
    assert np.array_equal(in_split(codes[::-1], n_tokens, "test"), test[::-1])


def test_a_fifth_of_a_large_space_is_for_tests() -> None:
    codes = load_case("fraction_of_x_long").draw(20_000, 0)
    assert 0.19 < in_split(codes, 26, "test").mean() < 0.21


def test_hashes_of_different_inputs_differ() -> None:
    codes = [enumerate_inputs(4, length) for length in (1, 2, 8)]
    hashes = np.concatenate([hash_inputs(part) for part in codes])
    assert len(np.unique(hashes)) == 4 + 4**2 + 4**8


@pytest.mark.parametrize("split", [None, "train", "test"])
@every_case
def test_unique_inputs(case: Case, split: str | None) -> None:
    n = min(300, case.n_inputs() // 5)
    codes = case.draw(n, 0, unique=True, split=split)
    assert len(rows(codes)) == n
    assert in_split(codes, len(case.vocab), split).all()
    assert np.array_equal(codes, case.draw(n, 0, unique=True, split=split))


def test_unique_inputs_to_the_last_one() -> None:
    case = load_case("fraction_of_x")
    assert len(rows(case.draw(256, 0, unique=True))) == 256
    n_test = len(rows(case.draw(51, 0, unique=True, split="test")))
    assert n_test == 51
    with pytest.raises(InputError, match="at most 256 different inputs of length 4, got 257"):
        case.draw(257, 0, unique=True)
    with pytest.raises(InputError, match="at most 51 different inputs .* in the test split"):
        case.draw(52, 0, unique=True, split="test")


def test_unique_inputs_that_a_sampler_never_draws() -> None:
    def first_only(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        return np.zeros((n, length), dtype=np.int64)

    case = dataclasses.replace(load_case("fraction_of_x"), sampler=first_only)
    assert case.sampling == "first_only"
    assert len(rows(case.draw(100, 0, unique=True))) == 100
    (split,) = {"train", "test"} - {"test" if in_split(case.draw(1, 0), 4, "test") else "train"}
    with pytest.raises(InputError, match="a sampler that yields 3 inputs .*, got 0"):
        case.draw(3, 0, split=split)
    long = dataclasses.replace(load_case("reverse"), sampler=first_only)
    with pytest.raises(InputError, match="a sampler that yields 3 inputs .*, got 1"):
        long.draw(3, 0, unique=True)


@settings(max_examples=40)
@given(names, st.integers(0, 5), st.booleans(), st.sampled_from([None, "train", "test"]))
def test_data_sets_of_several_lengths(
    name: str, seed: int, unique: bool, split: str | None
) -> None:
    case = load_case(name)
    lengths = range(1, min(case.max_len, 9) + 1)
    data = case.dataset(40, seed, lengths=lengths, unique=unique, split=split)
    assert len(data) == 40
    assert [len(xs) for xs in data.inputs] == data.lengths.tolist()
    longest = data.lengths.max() + 1
    assert np.array_equal(data.ids[:, :longest], data.vocabulary.encode(data.inputs))
    assert data.ids.shape == (40, lengths[-1] + 1)
    if unique:
        assert len(set(map(tuple, data.inputs))) == 40
    for tokens, answer in zip(data.inputs, data.answers, strict=True):
        assert case.interpret([tokens])[0] == answer


def test_lengths_are_equally_common_as_far_as_there_are_inputs() -> None:
    case = load_case("fraction_of_x")
    counts = np.bincount(case.dataset(4_000, 0, lengths=range(1, 5)).lengths)
    assert counts[1:].min() > 900
    unique = np.bincount(case.dataset(300, 0, lengths=range(1, 5), unique=True).lengths)
    assert unique[1:3].tolist() == [4, 16]
    assert share_out(np.random.default_rng(0), 103, [1, 2, 100]) == [1, 2, 100]
    with pytest.raises(InputError, match="at most 340 different inputs, got 341"):
        case.dataset(341, 0, lengths=range(1, 5), unique=True)


def test_data_sets_of_one_length_need_no_pad() -> None:
    case = load_case("histogram")
    data = case.dataset(10, 0)
    assert not data.vocabulary.pad
    assert data.ids.shape == (10, case.max_len + 1)
    assert case.dataset(10, 0, lengths=3).ids.shape == (10, 4)


def test_wrong_requests() -> None:
    case = load_case("histogram")
    with pytest.raises(InputError, match="at least one input, got 0"):
        case.draw(0, 0)
    with pytest.raises(InputError, match="1 to 9 tokens, got 10"):
        case.draw(5, 0, length=10)
    with pytest.raises(InputError, match="1 to 9 tokens, got 0"):
        case.dataset(5, 0, lengths=[0, 1])
    with pytest.raises(InputError, match="at least one input and length"):
        case.dataset(5, 0, lengths=[])
    with pytest.raises(UnknownNameError, match="did you mean test"):
        case.draw(5, 0, split="tests")
    with pytest.raises(InputError, match="at most 16777216 inputs to list"):
        load_case("reverse").enumerate()


def test_enumeration_is_in_order() -> None:
    case = load_case("fraction_of_x")
    codes = case.enumerate(2)
    assert codes.tolist() == [[i, j] for i in range(4) for j in range(4)]
    assert len(rows(case.enumerate())) == case.n_inputs() == 256


@pytest.mark.parametrize("name", ["fraction_of_x", "open_minus_close_fraction"])
def test_a_hundred_thousand_inputs(name: str) -> None:
    """How fast, `knowncircuits bench sampling` says."""
    case = load_case(name)
    data = case.dataset(100_000, 0)
    assert data.ids.shape == (100_000, case.max_len + 1)
    few = case.dataset(100, 0)
    assert len(np.unique(data.ids, axis=0)) > len(np.unique(few.ids, axis=0))


def test_the_batch_says_the_same_as_single_inputs() -> None:
    table = bench_sampling(n=2_000, n_one_by_one=50)
    assert table["differing"].tolist() == [0, 0]
    assert (table["batch_seconds"] > 0).all()
    each = table["single_seconds"] / table["single_inputs"]
    ratio = each / (table["batch_seconds"] / table["inputs"])
    assert table["ratio"].tolist() == pytest.approx(ratio.tolist())
