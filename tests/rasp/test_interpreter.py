"""The interpreter against plain Python, on programs whose meaning is easy to say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits import rasp
from knowncircuits.errors import InputError, ProgramError
from knowncircuits.rasp.columns import Column
from knowncircuits.rasp.interpreter import evaluate, interpret
from knowncircuits.rasp.values import canonical

numbers = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@given(numbers)
def test_idioms(xs: list[int]) -> None:
    n = len(xs)
    assert rasp.length(xs) == [n] * n
    assert rasp.make_reverse(rasp.tokens)(xs) == xs[::-1]
    assert rasp.make_hist()(xs) == [xs.count(x) for x in xs]
    assert rasp.make_count(rasp.tokens, 3)(xs) == [xs.count(3)] * n
    assert rasp.shift_by(2, rasp.tokens)(xs) == ([None, None, *xs])[:n]
    sort = rasp.make_sort(rasp.tokens, rasp.tokens, max_seq_len=8, min_key=1)
    assert sort(xs) == sorted(xs)
    fractions = [xs[: i + 1].count(1) / (i + 1) for i in range(n)]
    assert rasp.make_frac_prevs(rasp.tokens == 1)(xs) == pytest.approx(fractions)
    found = rasp.detect_pattern(rasp.tokens, [1, 2])(xs)
    assert found == [None] + [xs[i - 1 : i + 1] == [1, 2] for i in range(1, n)]


@given(numbers)
def test_operators(xs: list[int]) -> None:
    t, i = rasp.tokens, rasp.indices
    cases = [
        (t + 1, lambda x, p: x + 1),
        (1 - t, lambda x, p: 1 - x),
        (2 * t - i, lambda x, p: 2 * x - p),
        (t / 2, lambda x, p: x / 2),
        (6 / (t + 1), lambda x, p: 6 / (x + 1)),
        (t // 2 + t % 2, lambda x, p: x // 2 + x % 2),
        (-t, lambda x, p: -x),
        (~(t > 2), lambda x, p: not x > 2),
        ((t >= 2) & (i < 3), lambda x, p: x >= 2 and p < 3),
        ((t <= 2) | (i != 3), lambda x, p: x <= 2 or p != 3),
        (t == i, lambda x, p: x == p),
        (True & (t > 1), lambda x, p: x > 1),
        (0 | t, lambda x, p: x),
        (3 + t, lambda x, p: 3 + x),
    ]
    for program, f in cases:
        assert program(xs) == [f(x, p) for p, x in enumerate(xs)]


@given(numbers, st.sampled_from(list(rasp.Comparison)))
def test_selectors(xs: list[int], comparison: rasp.Comparison) -> None:
    a = rasp.Select(rasp.tokens, rasp.tokens, comparison)
    b = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LT)
    n = len(xs)
    left = np.array([[comparison(k, q) for k in xs] for q in xs])
    right = np.array([[k < q for k in range(n)] for q in range(n)])
    assert np.array_equal(a(xs), left)
    assert np.array_equal((a & b)(xs), left & right)
    assert np.array_equal((a | b)(xs), left | right)
    assert np.array_equal((~a)(xs), ~left)
    assert np.array_equal(a(xs, causal=True), left & np.tri(n, dtype=bool))


@given(numbers)
def test_aggregates(xs: list[int]) -> None:
    before = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LT)
    parts = [xs[:i] for i in range(len(xs))]
    mean = rasp.Aggregate(before, rasp.tokens, default=-1)
    assert mean(xs) == pytest.approx([sum(p) / len(p) if p else -1 for p in parts])
    assert rasp.AggregateSum(before, rasp.tokens)(xs) == [sum(p) for p in parts]


def test_none_passes_through_and_is_never_selected() -> None:
    maybe = rasp.Map(lambda x: None if x == 0 else x, rasp.tokens)
    assert maybe([0, 1]) == [None, 1]
    assert (maybe + 1)([0, 1]) == [None, 2]
    assert rasp.SequenceMap(lambda x, y: x, maybe, rasp.tokens)([0, 1]) == [None, 1]
    everything = rasp.Select(maybe, maybe, rasp.Comparison.TRUE)
    assert everything([0, 1]) == [[False, False], [False, True]]
    assert (~everything)([0, 1]) == [[True, True], [True, False]]


def test_equal_values_of_any_kind_can_be_aggregated() -> None:
    same = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ)
    assert rasp.Aggregate(same, rasp.tokens)("aba") == ["a", "b", "a"]
    everything = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.TRUE)
    with pytest.raises(ProgramError, match="only numbers can be averaged"):
        rasp.Aggregate(everything, rasp.tokens)("ab")
    maybe = rasp.Map(lambda x: None if x == 0 else x, rasp.tokens)
    with pytest.raises(ProgramError, match="None cannot be averaged"):
        rasp.Aggregate(everything, maybe)([0, 1])


def test_functions_are_called_once_for_each_value() -> None:
    calls: list[object] = []

    def record(x: object) -> object:
        calls.append(x)
        return x

    codes = np.random.default_rng(0).integers(3, size=(500, 7))
    evaluate(rasp.Map(record, rasp.tokens), Column(codes, ("a", "b", "c")))
    assert sorted(calls) == ["a", "b", "c"]


def test_batches_larger_than_a_chunk() -> None:
    codes = np.random.default_rng(0).integers(3, size=(300_000, 4))
    column = evaluate(rasp.make_hist(), Column(codes, (0, 1, 2)))
    wanted = (codes[:, :, None] == codes[:, None, :]).sum(-1)
    assert np.array_equal(np.array(column.values)[column.codes], wanted)


def test_canonical() -> None:
    assert canonical(0.1 + 0.2) == canonical(0.3) == 0.3
    assert canonical(2 / 3) == 2 / 3
    assert canonical(1e-17) == 0
    assert canonical("a") == "a"
    assert canonical(3.14159265358979) == 3.14159265358979


def test_numerical_values_are_floats() -> None:
    flags = rasp.numerical(rasp.tokens == "x")
    assert repr(flags("xa")) == "[1.0, 0.0]"
    with pytest.raises(ProgramError, match="a numerical variable: expected a number"):
        rasp.numerical(rasp.Map(lambda x: x, rasp.tokens))("xa")


@pytest.mark.parametrize("inputs", [[], [[]], [[1], [1, 2]]])
def test_bad_batches(inputs: list[list[int]]) -> None:
    with pytest.raises(InputError, match="expected"):
        interpret(rasp.length, inputs)


def test_errors_name_the_expression_and_the_values() -> None:
    broken = rasp.Map(lambda x: 1 / x, rasp.tokens).named("inverse")
    with pytest.raises(ProgramError, match="inverse.*ZeroDivisionError.*on 0"):
        broken([1, 0])
    with pytest.raises(ProgramError, match="NaN"):
        rasp.Map(lambda x: float("nan"), rasp.tokens)([1])
    with pytest.raises(ProgramError, match="expected a number, boolean, string"):
        rasp.Map(lambda x: [x], rasp.tokens)([1])


@pytest.mark.usefixtures("no_shape_checks")
def test_constructors_refuse_what_is_no_expression() -> None:
    with pytest.raises(ProgramError, match="Map expected SOp, got int 3"):
        rasp.Map(lambda x: x, 3)
    with pytest.raises(ProgramError, match="Map expected a function"):
        rasp.Map(rasp.tokens, rasp.tokens)
    with pytest.raises(ProgramError, match="SelectorWidth expected Selector"):
        rasp.SelectorWidth(rasp.tokens)
    with pytest.raises(ProgramError, match="pattern"):
        rasp.detect_pattern(rasp.tokens, "")


def test_programs_have_no_truth_value() -> None:
    """`a and b` would silently be b, and `0 < indices < 3` its second half."""
    a, b = rasp.tokens == 1, rasp.indices > 0
    same = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ)
    before = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LT)
    for ask in (
        lambda: bool(a),
        lambda: a and b,
        lambda: a or b,
        lambda: not a,
        lambda: 0 < rasp.indices < 3,
        lambda: rasp.tokens in [1, 2],
    ):
        with pytest.raises(TypeError, match=r"write a & b for `a and b`.*\(0 < a\) & \(a < 3\)"):
            ask()
    for ask in (lambda: bool(same), lambda: same and before, lambda: not same):
        with pytest.raises(TypeError, match="combine two Selects"):
            ask()
    assert ((rasp.indices > 0) & (rasp.indices < 3))([5, 5, 5, 5]) == [False, True, True, False]


def test_annotations_make_new_expressions() -> None:
    named = rasp.tokens.named("input").annotated(source="paper")
    assert (named.name, rasp.tokens.name) == ("input", "tokens")
    assert named.annotations["source"] == "paper"
    assert rasp.is_numerical(rasp.numerical(rasp.tokens))
    assert rasp.is_categorical(rasp.tokens)
    assert rasp.get_encoding(rasp.categorical(rasp.numerical(rasp.tokens))).value == "categorical"


def test_maps_of_maps_are_merged_and_keep_none() -> None:
    inner = rasp.Map(lambda x: None if x == 0 else x, rasp.tokens)
    assert rasp.Map(lambda x: x + 1, inner).inner is rasp.tokens
    assert rasp.Map(lambda x: x + 1, inner)([0, 1]) == [None, 2]
    assert rasp.Map(lambda x: x + 1, inner, simplify=False).inner is inner


def test_nary_maps() -> None:
    three = rasp.make_nary_sequencemap(lambda *xs: sum(xs), rasp.tokens, rasp.indices, rasp.tokens)
    assert three([5, 6]) == [10, 13]
    assert rasp.make_nary_sequencemap(lambda x: x, rasp.tokens)([5]) == [5]
