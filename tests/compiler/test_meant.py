"""Programs that are not meant for every input of their vocabulary."""

from __future__ import annotations

import dataclasses

import pytest

from knowncircuits import rasp
from knowncircuits.cases import Case, load_case
from knowncircuits.cases.checks import check_case
from knowncircuits.compiler import compile_program
from knowncircuits.errors import CompileError, InputError
from knowncircuits.rasp import Value, validate
from knowncircuits.rasp.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("x", 1, 2), 3)
# The number after the one x: where there are more, several numbers.
AFTER = rasp.Aggregate(
    rasp.Select(rasp.shift_by(1, rasp.tokens), rasp.tokens, lambda key, query: key == "x"),
    rasp.tokens,
).named("after")


def one_x(tokens: tuple[Value, ...]) -> bool:
    return tokens.count("x") <= 1


def test_a_refusal_says_how_to_state_what_is_meant() -> None:
    with pytest.raises(CompileError, match=r"after: .*say with inputs=.*check_inputs=False"):
        compile_program(AFTER, VOCABULARY)
    reasons = validate(AFTER, VOCABULARY)
    assert len(reasons) == 2
    assert all("inputs=" in reason for reason in reasons)
    assert validate(AFTER, VOCABULARY, inputs=one_x) == []
    assert validate(AFTER, VOCABULARY, inputs=[["x", 1, 2], [1, 2]]) == []
    assert validate(AFTER, VOCABULARY, inputs=[["x", 1], ["x", 1, "x"], ["x", 1, 2]]) == []


def test_by_a_predicate() -> None:
    compiled = compile_program(AFTER, VOCABULARY, inputs=one_x)
    assert compiled(["x", 2, 1]) == [2, 2, 2]
    with pytest.raises(InputError, match=r"that the program is meant for, got \['x', 1, 'x'\]"):
        compiled(["x", 1, "x"])
    drawn = compiled.draw_codes(40, seed=0)
    assert drawn.shape == (40, 3)
    assert ((drawn == 0).sum(1) <= 1).all()


def test_by_a_list() -> None:
    listed = [["x", 1, 2], ["x", 2, 2], [1, "x", 2], [1, 2]]
    compiled = compile_program(AFTER, VOCABULARY, inputs=iter(listed))
    assert compiled(["x", 1, 2]) == [1, 1, 1]
    with pytest.raises(InputError, match="meant for"):
        compiled([1, 1, 1])
    rows = {tuple(VOCABULARY.tokens[i] for i in row) for row in compiled.draw_codes(50, 0)}
    assert rows == {tuple(xs) for xs in listed if len(xs) == 3}


def test_what_is_meant_must_be_there() -> None:
    for inputs, problem in (
        ([], "expected at least one input that the program is meant for"),
        ([["y"]], "expected tokens among"),
        ([[1] * 4], "expected inputs of 1 to 3 tokens"),
    ):
        with pytest.raises(InputError, match=problem):
            compile_program(AFTER, VOCABULARY, inputs=inputs)
    with pytest.raises(CompileError, match="none of many random inputs"):
        compile_program(AFTER, VOCABULARY, inputs=lambda tokens: False)
    short = compile_program(AFTER, VOCABULARY, inputs=lambda tokens: len(tokens) < 3)
    with pytest.raises(InputError, match="expected 5 inputs of 3 tokens .* got 0 at random"):
        short.draw_codes(5, seed=0)


def test_a_case_of_some_inputs() -> None:
    case = Case("after_x", "test", "After x.", AFTER, VOCABULARY.tokens, 3, inputs=one_x)
    with pytest.raises(InputError, match="sampler|meant for"):
        case.draw(50, seed=0)

    def sampler(rng: object, n: int, length: int, n_tokens: int) -> object:
        codes = rng.integers(1, n_tokens, size=(n, length))  # type: ignore[attr-defined]
        codes[:, 0] = 0
        return codes

    case = dataclasses.replace(case, sampler=sampler)  # type: ignore[arg-type]
    assert case.compile()(["x", 2, 1]) == case.interpret([["x", 2, 1]])[0] == [2, 2, 2]
    with pytest.raises(InputError, match="meant for"):
        case.interpret([["x", 1, "x"]])
    assert check_case(case, 100).changed_inputs == 1
    assert load_case("histogram").meant is None


def test_a_vocabulary_of_any_iterable() -> None:
    assert Vocabulary({"b", "a"}, 5).tokens == ("a", "b")
    assert Vocabulary(frozenset({3, 1, 2.5}), 5) == Vocabulary((1, 2.5, 3), 5)
    assert Vocabulary({"x", 2, 10, ("a",)}, 5).tokens == (10, 2, "x", ("a",))
    assert Vocabulary(range(3), 5).tokens == (0, 1, 2)
    assert Vocabulary((c for c in "ba"), 5).tokens == ("b", "a")
    assert rasp.tokens(["a"]) == compile_program(rasp.tokens, Vocabulary({"b", "a"}, 5))(["a"])
    for wrong in ("ab", b"ab"):
        with pytest.raises(InputError, match="expected several tokens"):
            Vocabulary(wrong, 5)
    with pytest.raises(InputError, match="expected distinct tokens"):
        Vocabulary(set(), 5)


def test_too_many_values_say_what_to_do() -> None:
    number = rasp.numerical(rasp.Map(lambda x: x**5 / 7, rasp.tokens))
    everything = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.TRUE)
    total = rasp.numerical(rasp.AggregateSum(everything, number))
    with pytest.raises(CompileError, match=r"more than 20000 values, .*with fewer tokens"):
        compile_program(total, Vocabulary(range(1, 12), 9))
