"""Constant S-Ops and selectors: what they are at each position, and on inputs of other lengths."""

from __future__ import annotations

import pytest

import knowncircuits as kc
from knowncircuits import rasp
from knowncircuits.errors import CompileError, ProgramError

ROWS = [[True, False, True], [False, True, False], [True, True, True]]


def test_constants_have_the_same_value_on_every_input() -> None:
    values, selector = rasp.ConstantSOp(["a", None, 2]), rasp.ConstantSelector(ROWS)
    for xs in ("xyz", [3, 1, 1]):
        assert values(xs) == ["a", None, 2]
        assert selector(xs) == ROWS
    lower = [[True, False, False], [False, True, False], [True, True, True]]
    assert selector("xyz", causal=True) == lower
    assert rasp.Aggregate(selector, rasp.tokens)([1, 2, 3]) == [2, 2, 2]


def test_other_lengths_are_refused_or_cut_and_filled() -> None:
    constants: list[rasp.SOp | rasp.Selector] = [
        rasp.ConstantSOp([1, 2]),
        rasp.ConstantSelector([[True, False]] * 2),
    ]
    for constant in constants:
        with pytest.raises(ProgramError, match="an input of 2 tokens.*got 3"):
            constant("abc")
    values = rasp.ConstantSOp([1, 2], check_length=False)
    assert (values("a"), values("abc")) == ([1], [1, 2, None])
    selector = rasp.ConstantSelector([[False, True], [True, True]], check_length=False)
    assert selector("a") == [[False]]
    assert selector("abc") == [[False, True, False], [True, True, False], [False] * 3]


@pytest.mark.parametrize("rows", [[], [[True], [True]], [[True, True], [True]]])
def test_a_selector_that_is_no_square_is_refused(rows: list[list[bool]]) -> None:
    with pytest.raises(ProgramError, match="expected a square, got"):
        rasp.ConstantSelector(rows)


def test_a_constant_of_one_length_compiles_for_inputs_of_that_length() -> None:
    total = rasp.ConstantSOp([4, 5, 6]) + rasp.tokens
    program = rasp.numerical(rasp.Aggregate(rasp.ConstantSelector(ROWS), total, default=0))
    vocabulary = kc.Vocabulary((0, 1), 3)
    with pytest.raises(CompileError, match="an input of 3 tokens.*got 2.*say with inputs="):
        kc.compile_program(program, vocabulary)
    compiled = kc.compile_program(program, vocabulary, inputs=lambda xs: len(xs) == 3)
    assert compiled([0, 1, 1]) == pytest.approx([(4 + 7) / 2, 6, (4 + 6 + 7) / 3])


def test_constants_in_words() -> None:
    program = rasp.Aggregate(rasp.ConstantSelector([[True]]), rasp.ConstantSOp([7]).named("seven"))
    assert rasp.program_text(program).splitlines() == [
        "seven = ConstantSOp([7])",
        "aggregate = Aggregate(ConstantSelector([[True]]), seven)",
    ]
