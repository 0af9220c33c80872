"""Programs of tracr's library, compiled, against plain Python on every input."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from knowncircuits import rasp
from knowncircuits.compiler import compile_program
from knowncircuits.errors import ProgramError
from knowncircuits.rasp.vocabulary import Vocabulary


def balanced(pairs: Sequence[str], xs: tuple[str, ...]) -> list[bool]:
    """Whether each kind of bracket closes, at every position."""
    heights = [
        list(itertools.accumulate((x == opening) - (x == closing) for x in xs))
        for opening, closing in pairs
    ]
    return [all(min(height) >= 0 and height[-1] == 0 for height in heights)] * len(xs)


def by_frequency(xs: tuple[str, ...]) -> list[str]:
    return sorted(xs, key=xs.count, reverse=True)


def rare(n: int, xs: tuple[str, ...]) -> list[int]:
    return [sum(xs.count(x) <= n for x in xs)] * len(xs)


PROGRAMS: list[tuple[rasp.SOp, str, int, Callable[[tuple[str, ...]], Sequence[object]]]] = [
    (rasp.make_shuffle_dyck(["()"]), "()", 6, lambda xs: balanced(["()"], xs)),
    (rasp.make_shuffle_dyck2(), "(){}", 4, lambda xs: balanced(["()", "{}"], xs)),
    (
        rasp.make_shuffle_dyck(["()", "{}", "[]"]),
        "(){}[]",
        3,
        lambda xs: balanced(["()", "{}", "[]"], xs),
    ),
    (rasp.make_sort_freq(5), "abc", 5, by_frequency),
    (rasp.make_count_less_freq(2), "abc", 5, lambda xs: rare(2, xs)),
    (rasp.make_count_less_freq(0), "ab", 3, lambda xs: rare(0, xs)),
]


@pytest.mark.parametrize(("program", "alphabet", "max_len", "meaning"), PROGRAMS)
def test_a_compiled_program_is_right_on_every_input(
    program: rasp.SOp,
    alphabet: str,
    max_len: int,
    meaning: Callable[[tuple[str, ...]], Sequence[object]],
) -> None:
    compiled = compile_program(program, Vocabulary(tuple(alphabet), max_len))
    for length in range(1, max_len + 1):
        inputs = list(itertools.product(alphabet, repeat=length))
        wanted = [meaning(xs) for xs in inputs]
        assert rasp.interpret(program, inputs) == wanted
        assert compiled.decode(compiled.model.run(compiled.encode(inputs)).logits) == wanted


@pytest.mark.parametrize("pairs", [[], ["("], ["()", "{}{"]])
def test_kinds_of_brackets_without_two_tokens_are_refused(pairs: list[str]) -> None:
    with pytest.raises(ProgramError, match="pairs of an opening and a closing token"):
        rasp.make_shuffle_dyck(pairs)
