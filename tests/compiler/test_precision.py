"""Numbers come out right to the digits of the dtype, or the program is refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch

from knowncircuits import rasp
from knowncircuits.cases.registry import CASES
from knowncircuits.compiler import compile_program
from knowncircuits.errors import CompileError
from knowncircuits.rasp import Value
from knowncircuits.rasp.vocabulary import Vocabulary


def to_number(f: object, sop: rasp.SOp = rasp.tokens) -> rasp.SOp:
    return rasp.numerical(rasp.Map(f, sop))  # type: ignore[arg-type]


def numbers(
    program: rasp.SOp, vocabulary: Vocabulary, dtype: torch.dtype, inputs: Sequence[Sequence[Value]]
) -> list[list[Value]]:
    """What the compiled model says in one batch, which is what it says one by one."""
    compiled = compile_program(program, vocabulary, dtype=dtype)
    batch = compiled.decode(compiled.model(compiled.encode(inputs)))
    for xs, answers in zip(inputs, batch, strict=True):
        assert compiled(xs) == pytest.approx(answers, rel=1e-6, abs=1e-6)
    return batch


def test_powers_of_two_at_length_eleven() -> None:
    """In float32 they were 2304, and 1024 was not 1024."""
    program = to_number(lambda n: 2.0**n, rasp.length).named("power")
    vocabulary = Vocabulary((0, 1), 11)
    (answers,) = numbers(program, vocabulary, torch.float64, [[0, 1] * 5 + [0]])
    assert answers == pytest.approx([2048.0] * 11, rel=1e-9)
    with pytest.raises(CompileError, match=r"power: .* in float32.* up to 2048; float64 may do"):
        compile_program(program, vocabulary, dtype=torch.float32)


def test_numbers_beyond_the_dtype() -> None:
    program = to_number(lambda x: 1e39 if x else 1.0).named("huge")
    with pytest.raises(CompileError, match=r"huge: .*1e\+39, beyond what float32.*float64 may do"):
        compile_program(program, Vocabulary((0, 1), 2), dtype=torch.float32)
    assert compile_program(program, Vocabulary((0, 1), 2))([1]) == pytest.approx([1e39])
    everything = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.TRUE)
    for too_much in (1e308, float("inf"), 10**400):
        number = to_number(lambda x, most=too_much: most)
        program = rasp.numerical(rasp.AggregateSum(everything, number))
        with pytest.raises(CompileError, match="beyond|out of range"):
            compile_program(program, Vocabulary((0, 1), 4))


def test_integers_that_a_float_does_not_hold() -> None:
    for dtype, least in ((torch.float32, 2**24), (torch.float64, 2**53)):
        program = to_number(lambda x, least=least: least + x).named("count")
        assert numbers(program, Vocabulary((-1, 0), 1), dtype, [[-1]]) == [[least - 1]]
    program = to_number(lambda x: 2**24 + x).named("count")
    with pytest.raises(CompileError, match=r"count: 16777217 may be off by 1 in float32"):
        compile_program(program, Vocabulary((0, 1), 1), dtype=torch.float32)


def test_small_numbers_beside_large_ones() -> None:
    """In float32 .6 beside a million was .597."""
    vocabulary = Vocabulary((0.6, 1e6), 3)
    same = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ)
    number = to_number(lambda x: x)
    for program in (
        rasp.numerical(rasp.Aggregate(same, number, default=0)),
        rasp.numerical(rasp.Map(lambda x: x, number, simplify=False)),
        rasp.numerical(rasp.LinearSequenceMap(number, to_number(lambda x: -x), 1, 0.5)),
    ):
        (wanted,) = rasp.interpret(program, [[0.6, 1e6, 1e6]])
        (answers,) = numbers(program, vocabulary, torch.float64, [[0.6, 1e6, 1e6]])
        assert answers == pytest.approx(wanted, rel=1e-9)
        with pytest.raises(CompileError, match=r"in float32.*; float64 may do"):
            compile_program(program, vocabulary, dtype=torch.float32)


@pytest.mark.parametrize("pad", [False, True])
def test_a_sum_of_numbers_that_are_not_zero_at_bos(pad: bool) -> None:
    """BOS weighs 10,000 keys, so that a millionth of its 80 too much was .8 of each sum."""
    everything = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.TRUE)
    mean = rasp.numerical(rasp.Aggregate(everything, rasp.indices, default=100))
    scaled = rasp.numerical(rasp.LinearSequenceMap(mean, mean, 0.5, 0.3))
    program = rasp.numerical(rasp.AggregateSum(everything, scaled))
    vocabulary = Vocabulary((-2, -1, 0, 1, 2), 3, pad=pad)
    with pytest.raises(CompileError, match="too close to tell apart in float32.*float64 may do"):
        compile_program(program, vocabulary, causal=True, dtype=torch.float32)
    compiled = compile_program(program, vocabulary, causal=True)
    for length in (1, 2, 3):
        inputs = list(itertools.product(vocabulary.tokens, repeat=length))
        wanted = rasp.interpret(program, inputs, causal=True)
        batch = compiled.decode(compiled.model(compiled.encode(inputs)))
        for xs, values, answers in zip(inputs, wanted, batch, strict=True):
            assert answers == pytest.approx(values, abs=1e-9)
            assert compiled(xs) == pytest.approx(answers, abs=1e-12)


def test_numbers_closer_than_the_interpreter_tells_apart() -> None:
    """It takes 1e-12 for 0, so that a billion times that is 0; and a mean to within 1e-9."""
    tiny = rasp.numerical(rasp.Map(lambda x: x * 1e-6, rasp.numerical(rasp.Full(1e-6))))
    number = to_number(lambda x: x)
    program = rasp.numerical(rasp.LinearSequenceMap(number, tiny, 0.3, -1e9))
    assert numbers(program, Vocabulary((0, 1), 1), torch.float64, [[1]]) == [[pytest.approx(0.3)]]
    everything = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.TRUE)
    mean = rasp.numerical(rasp.Aggregate(everything, number, default=0))
    blown_up = rasp.numerical(rasp.LinearSequenceMap(mean, number, 1e9, 1))
    with pytest.raises(CompileError, match="may be off by 1 in float64"):
        compile_program(blown_up, Vocabulary((0, 1), 3))


def test_a_linear_map_of_one_variable_twice() -> None:
    number = to_number(lambda x: x)
    program = rasp.numerical(rasp.LinearSequenceMap(number, number, 0.5, 0.3))
    compiled = compile_program(program, Vocabulary((0, 1, -10), 2))
    assert compiled([1, -10]) == pytest.approx([0.8, -8.0])
    nothing = rasp.numerical(rasp.LinearSequenceMap(number, number, 1, -1))
    assert not compile_program(nothing, Vocabulary((0, 1), 2)).output.varies


def test_cases_fit_float32() -> None:
    """Trained models follow them in it; the two with the most steps and the deepest stand here."""
    for name in ("polynomial", "invert_if_sorted", "balanced_parentheses"):
        CASES[name].compile(dtype=torch.float32)
