"""The compiler's promises one by one: what tracr gets wrong, what is refused, what is labelled."""

from __future__ import annotations

import itertools
import time

import pytest
import torch

from knowncircuits import rasp
from knowncircuits.cases import load_case
from knowncircuits.circuit import Label
from knowncircuits.compiler import compile_program
from knowncircuits.errors import CompileError, InputError, ProgramError
from knowncircuits.rasp import validate
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.transformer import weights_hash

EQ, LEQ, TRUE = rasp.Comparison.EQ, rasp.Comparison.LEQ, rasp.Comparison.TRUE
SMALL = Vocabulary((0, 1, 2, 3), 4)
EVERYTHING = rasp.Select(rasp.tokens, rasp.tokens, TRUE)


def check(program: rasp.SOp, vocabulary: Vocabulary = SMALL, *, causal: bool = False) -> None:
    compiled = compile_program(program, vocabulary, causal=causal)
    for length in range(1, vocabulary.max_len + 1):
        inputs = list(itertools.product(vocabulary.tokens, repeat=length))
        got = compiled.decode(compiled.model(compiled.encode(inputs)))
        wanted = rasp.interpret(program, inputs, causal=causal)
        for xs, ys, zs in zip(inputs, wanted, got, strict=True):
            for y, z in zip(ys, zs, strict=True):
                assert y == z or y == pytest.approx(z, abs=1e-3), (xs, ys, zs)


def test_none_of_an_aggregate_stays_none() -> None:
    """tracr issue 25: a chain of aggregates where nothing is selected."""
    selector = rasp.Select(rasp.indices, rasp.tokens, EQ)
    check(rasp.Aggregate(selector, rasp.Aggregate(selector, rasp.indices)))


def test_means_of_other_than_unit_fractions() -> None:
    """tracr lists 1, 1/2, 1/3, ... as the values of a mean and rounds 2/3 to one of them."""
    mean = rasp.numerical(rasp.Aggregate(EVERYTHING, rasp.numerical(rasp.tokens == 1), default=0))
    check(rasp.Map(lambda x: round(12 * x), mean))
    check(rasp.numerical(rasp.Aggregate(EVERYTHING, rasp.tokens, default=0)))


def test_close_thresholds() -> None:
    """tracr pull request 14: long widths are told apart by steps as steep as they need to be."""
    vocabulary = Vocabulary(("a", "b"), 60)
    compiled = compile_program(rasp.make_count(rasp.tokens, "a"), vocabulary)
    for count in (0, 1, 30, 58, 59, 60):
        assert compiled("a" * count + "b" * (60 - count)) == [count] * 60


@pytest.mark.parametrize("default", [0, 3, 9, None])
def test_any_default(default: int | None) -> None:
    nothing = rasp.Select(rasp.tokens, rasp.indices, lambda key, query: key == query + 2)
    once = rasp.Select(rasp.indices, rasp.tokens, EQ)
    check(rasp.Aggregate(once, rasp.tokens, default=default))
    if default is not None:
        check(rasp.numerical(rasp.Aggregate(nothing, rasp.tokens, default=default)))


def test_composite_selectors() -> None:
    same = rasp.Select(rasp.tokens, rasp.tokens, EQ)
    before = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LT)
    for selector in (same & before, same | before, ~same, ~(same & before), ~(same | ~before)):
        check(rasp.SelectorWidth(selector))
    maybe = rasp.Map(lambda x: None if x == 1 else x, rasp.tokens)
    over_none = rasp.Select(maybe, rasp.tokens, LEQ)
    for selector in (over_none | before, ~over_none, ~(over_none & before)):
        check(rasp.SelectorWidth(selector))


def test_a_conjunction_takes_no_more_layers() -> None:
    same = rasp.Select(rasp.tokens, rasp.tokens, EQ)
    before = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LT)
    compiled = compile_program(rasp.SelectorWidth(same & before), SMALL)
    assert compiled.model.config.n_layers == 1


@pytest.mark.parametrize("causal", [False, True])
def test_sums(causal: bool) -> None:
    before = rasp.Select(rasp.indices, rasp.indices, LEQ)
    check(rasp.AggregateSum(before, rasp.tokens), causal=causal)
    half = rasp.numerical(rasp.Map(lambda x: x / 2 - 1, rasp.tokens))
    check(rasp.numerical(rasp.AggregateSum(before, half)), causal=causal)


def test_a_sequence_map_of_a_variable_with_itself() -> None:
    program = rasp.SequenceMap(lambda x, y: x + y, rasp.tokens, rasp.tokens)
    check(program)
    carried = compile_program(program, SMALL).circuit.carries
    assert carried["embed->m0"] == ("tokens",)


@pytest.mark.parametrize("causal", [False, True])
def test_a_function_of_several_is_one_mlp(causal: bool) -> None:
    before = rasp.shift_by(1, rasp.tokens)  # None at first
    program = rasp.NarySequenceMap(
        lambda x, y, i: (2 * x + y) % 3 if i else None, rasp.tokens, before, rasp.indices
    )
    check(program, causal=causal)
    check(rasp.NarySequenceMap(lambda x: 3 - x, rasp.tokens), causal=causal)
    check(rasp.NarySequenceMap(lambda x, y, z: x + y + z, rasp.tokens, rasp.tokens, before))
    compiled = compile_program(program, SMALL, causal=causal)
    assert compiled.model.config.n_layers == 1
    assert compiled.circuit.carries["a0.h0->m0"] == (before.name,)


def test_only_arguments_that_matter_are_read() -> None:
    before = rasp.shift_by(1, rasp.tokens)
    compiled = compile_program(
        rasp.NarySequenceMap(lambda x, y, i: x, rasp.tokens, before, rasp.indices), SMALL
    )
    # `before` is read all the same: where it is None, so is the result.
    assert set(compiled.circuit.edges()) == {
        "embed->m0",
        "a0.h0->m0",
        "embed->a0.h0<v>",
        "m0->logits",
    }


def test_a_function_of_none_is_refused() -> None:
    with pytest.raises(ProgramError, match="at least one S-Op"):
        rasp.NarySequenceMap(lambda: 1)
    number = rasp.numerical(rasp.Map(lambda x: x / 2, rasp.tokens))
    program = rasp.NarySequenceMap(lambda x, y: x, rasp.tokens, number).named("of_number")
    assert any("of_number" in reason for reason in validate(program, SMALL))
    big = Vocabulary(tuple(range(101)), 2)
    three = rasp.NarySequenceMap(lambda *xs: sum(xs), rasp.tokens, rasp.tokens, rasp.tokens)
    assert any("101 by 101 by 101 values are mapped" in r for r in validate(three, big))


def test_constants_and_inputs_as_programs() -> None:
    check(rasp.tokens)
    check(rasp.indices)
    check(rasp.Full(5))
    check(rasp.numerical(rasp.Full(2.5)))
    check(rasp.SequenceMap(lambda x, y: x * y, rasp.tokens, rasp.Full(3)))


def test_padding() -> None:
    vocabulary = Vocabulary((0, 1, 2, 3), 4, pad=True)
    compiled = compile_program(rasp.make_reverse(rasp.tokens), vocabulary)
    inputs = [[1, 2], [3, 2, 1, 0], [1]]
    answers = compiled.decode(compiled.model(compiled.encode(inputs)))
    for xs, ys in zip(inputs, answers, strict=True):
        assert ys[: len(xs)] == xs[::-1]


def test_labels() -> None:
    circuit = compile_program(rasp.make_reverse(rasp.tokens), SMALL).circuit
    assert circuit.edges() == ("embed->a3.h0<v>", "a3.h0->logits")
    # The length varies between inputs of different lengths alone; positions never do.
    for edge in ("embed->a0.h0<k>", "m0->m1", "m2->a3.h0<q>", "pos->a3.h0<k>", "pos->logits"):
        assert circuit.label(edge) == Label.UNDETERMINED
    assert circuit.label("embed->logits") == Label.OUT
    assert circuit.carries["embed->a3.h0<v>"] == ("tokens",)
    padded = compile_program(rasp.make_reverse(rasp.tokens), Vocabulary((0, 1), 4, pad=True))
    assert padded.circuit.label("m0->m1") == Label.IN


def test_dtypes() -> None:
    compiled = compile_program(rasp.make_hist(), SMALL)
    assert compiled.model.dtype == torch.float64 == load_case("histogram").compile().model.dtype
    assert compiled([1, 1, 2, 3]) == [2, 2, 1, 1]
    half = compile_program(rasp.make_hist(), SMALL, dtype=torch.float32)
    copy = compiled.to(dtype=torch.float32)
    assert compiled.to(dtype=torch.float64) is compiled
    assert compiled.model.dtype == torch.float64
    assert copy.circuit is compiled.circuit
    assert weights_hash(copy.model) == weights_hash(half.model)
    assert copy([1, 1, 2, 3]) == [2, 2, 1, 1]


def test_every_reason_at_once() -> None:
    number = rasp.numerical(rasp.Map(lambda x: x / 2, rasp.tokens)).named("number")
    by_number = rasp.Select(number, rasp.tokens, EQ)
    program = rasp.SequenceMap(
        lambda x, y: x,
        rasp.SelectorWidth(by_number).named("width"),
        rasp.SequenceMap(
            lambda x, y: x,
            rasp.numerical(rasp.Aggregate(EVERYTHING, number)).named("mean"),
            rasp.Aggregate(EVERYTHING, rasp.tokens).named("mixed"),
        ).named("of_number"),
    )
    reasons = validate(program, SMALL)
    for text in (
        "width: the keys of its selector must be categorical",
        "mean: a numerical aggregate needs a default",
        "of_number: a SequenceMap needs categorical inputs",
        "mixed: a categorical aggregate of several different values, as on [",
    ):
        assert any(text in reason for reason in reasons), (text, reasons)
    with pytest.raises(CompileError) as caught:
        compile_program(program, SMALL)
    assert list(caught.value.reasons) == reasons
    assert all(reason in str(caught.value) for reason in reasons)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (rasp.numerical(rasp.tokens), "the input is categorical"),
        (rasp.Map(lambda x: None, rasp.tokens), "None on every input"),
        (rasp.LinearSequenceMap(rasp.tokens, rasp.indices, 1, 1), "needs numerical inputs"),
        (rasp.Map(lambda x: 1 / x, rasp.tokens).named("inverse"), "inverse.*ZeroDivision"),
        (rasp.Map(lambda x: x.upper(), rasp.tokens).named("up"), "up.*AttributeError"),
        (
            rasp.Aggregate(EVERYTHING, rasp.numerical(rasp.tokens > 1), default=0),
            "mark the aggregate numerical",
        ),
        (rasp.numerical(rasp.Map(str, rasp.tokens)), "expected a number, got"),
        (
            rasp.SelectorWidth(rasp.Select(rasp.tokens, rasp.Full("a"), LEQ)).named("fewer"),
            "fewer: select: its function raised TypeError.*on 0, 'a'",
        ),
    ],
)
def test_reasons(program: rasp.SOp, reason: str) -> None:
    with pytest.raises(CompileError, match=reason):
        compile_program(program, SMALL)


def test_a_predicate_without_a_value_somewhere() -> None:
    """As with other functions, what cannot be computed may never occur."""
    nonzero = rasp.Map(lambda x: x or None, rasp.tokens)
    divides = rasp.Select(rasp.tokens, nonzero, lambda key, query: query % key == 0)
    positive = rasp.Select(nonzero, rasp.tokens, TRUE)
    assert any("ZeroDivision" in reason for reason in validate(rasp.SelectorWidth(divides), SMALL))
    program = rasp.SelectorWidth(divides & positive)
    compiled = compile_program(program, SMALL, check_inputs=False)
    assert compiled([1, 2, 3, 3]) == [1, 2, 3, 3]


def test_an_encoding_that_is_none_is_refused_where_it_is_given() -> None:
    with pytest.raises(ProgramError, match="tokens: expected an Encoding, got 'numerical'"):
        rasp.annotate(rasp.tokens, encoding="numerical")


def test_sums_of_too_many_values_are_a_reason_too() -> None:
    everything = rasp.AggregateSum(EVERYTHING, rasp.Map(lambda x: 2**0.5**x, rasp.tokens))
    reasons = validate(everything, Vocabulary(tuple(range(12)), 9))
    assert any("takes more than 20000 values" in reason for reason in reasons)


def test_a_valid_program_has_no_reasons() -> None:
    assert validate(rasp.make_hist(), SMALL) == []


def test_mixtures_that_no_check_has_met_are_found_when_run() -> None:
    mixed = rasp.Aggregate(EVERYTHING, rasp.tokens)
    compiled = compile_program(mixed, SMALL, check_inputs=False)
    assert compiled([2, 2]) == [2, 2]
    with pytest.raises(ProgramError, match="several different values"):
        compiled([1, 2])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [([], "got one of 0"), ([0] * 5, "1 to 4 tokens, got one of 5"), ([0, 7], "got 7")],
)
def test_bad_inputs(tokens: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_program(rasp.tokens + 1, SMALL)(tokens)


def test_vocabulary() -> None:
    vocabulary = Vocabulary(("a", "b"), 3, pad=True)
    assert vocabulary.encode(["ab", "a"]).tolist() == [[0, 1, 2], [0, 1, 3]]
    with pytest.raises(InputError, match="got none"):
        vocabulary.encode([])
    with pytest.raises(InputError, match="without PAD"):
        Vocabulary(("a", "b"), 3).encode(["ab", "a"])
    with pytest.raises(InputError, match="distinct tokens"):
        Vocabulary(("a", "a"), 3)
    with pytest.raises(InputError, match="longest input"):
        Vocabulary(("a",), 0)


def test_a_map_without_values_has_no_units() -> None:
    """All MLPs of such a program are empty; it ended in an AttributeError on `W_in`."""
    never = rasp.Map(lambda x: None, rasp.tokens)
    nothing = rasp.Select(never, rasp.tokens, rasp.Comparison.TRUE)
    compiled = compile_program(rasp.Aggregate(nothing, rasp.tokens, default=5), SMALL)
    assert compiled([1, 2]) == [5, 5]
    alone = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ)
    assert compile_program(rasp.Aggregate(alone, rasp.tokens), SMALL)([1, 2]) == [1, 2]


def test_programs_that_would_be_too_large_are_refused_at_once() -> None:
    vocabulary = Vocabulary(tuple(range(22)), 3)
    placed = rasp.SequenceMap(lambda x, i: (x, i), rasp.tokens, rasp.indices)
    last = rasp.Aggregate(rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.EQ), placed)
    pair = rasp.SequenceMap(lambda x, y: (x, y), placed, last)
    same = rasp.Select(pair, pair, rasp.Comparison.EQ)
    with pytest.raises(CompileError, match=r"4357 by 4357 values are compared, .*fewer tokens"):
        compile_program(rasp.SelectorWidth(same), vocabulary)
    with pytest.raises(CompileError, match=r"4356 by 4356 values are mapped"):
        compile_program(
            rasp.SequenceMap(lambda x, y: x == y, pair, pair.named("again")), vocabulary
        )
    with pytest.raises(CompileError, match=r"million weights, more than 67; .*fewer tokens"):
        compile_program(pair, vocabulary)


def test_sums_of_many_values_are_given_up_early() -> None:
    """They took minutes: thousands of sums, each to be added to thousands of values."""
    everything = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.TRUE)
    number = rasp.numerical(rasp.Map(lambda x: x**3 / 7, rasp.tokens))
    once = rasp.numerical(rasp.AggregateSum(everything, number))
    mean = rasp.numerical(rasp.Aggregate(everything, once, default=0))
    twice = rasp.numerical(rasp.AggregateSum(everything, mean))
    started = time.process_time()
    with pytest.raises(CompileError, match="more than 20000 values"):
        compile_program(twice, Vocabulary(range(6), 5))
    assert time.process_time() - started < 10
