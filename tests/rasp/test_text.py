"""Programs in words."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from knowncircuits import rasp
from knowncircuits.rasp.expressions import Expression
from knowncircuits.rasp.sources import applied_text
from knowncircuits.rasp.text import _selector, program_text, steps_text


class SelectorXor(rasp.Selector):
    """A kind of selector that the language has no word for."""

    parts = ("fst", "snd")

    def __init__(self, fst: rasp.Selector, snd: rasp.Selector) -> None:
        super().__init__()
        self.fst = fst
        self.snd = snd


def test_selectors_are_shown_in_words_and_new_kinds_of_them_by_name() -> None:
    names: dict[Expression, str] = {rasp.tokens: "tokens", rasp.indices: "indices"}
    same = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ)
    before = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key < query)
    x, y = "key tokens == query tokens", "key indices < query indices"
    assert _selector(same & ~before, names) == f"({x}) and (not ({y}))"
    assert _selector(same | before, names) == f"({x}) or ({y})"
    assert _selector(SelectorXor(same, ~before), names) == f"SelectorXor({x}, not ({y}))"


def above(threshold: int) -> Callable[[int], bool]:
    return lambda x: x > threshold


def twice(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: f(f(x))


BOUND = {"here": 3, "table": {1: 2}}
tokens = rasp.tokens
LOOPS = "sum((x * y for x in (tokens, 1) for y in (x,)))"
two = (lambda x: x + 1, lambda x: (x, "a"))  # on one line


@pytest.mark.parametrize(
    ("sop", "text"),
    [
        (tokens == "x", "tokens == 'x'"),
        (2 * tokens, "2 * tokens"),
        (-(tokens % 3), "-(tokens % 3)"),
        (~(tokens + 1), "not tokens + 1"),
        (rasp.Map(above(4), tokens), "tokens > 4"),
        (rasp.Map(above(BOUND["here"]), tokens + 1), "tokens + 1 > 3"),  # type: ignore[arg-type]
        (rasp.Map(two[0], tokens), "tokens + 1"),
        (rasp.Map(two[1], tokens), "(tokens, 'a')"),
        (rasp.Map(twice(lambda x: x * 2), tokens), "tokens * 2 * 2"),
        (rasp.Map(lambda x: sum(x * y for x in (x, 1) for y in (x,)), tokens), LOOPS),
        (rasp.Map(math.sqrt, tokens), "sqrt(tokens)"),
        (rasp.Map(str.lower, tokens), "str.lower(tokens)"),
        (rasp.Map({1: 2}.get, tokens), "dict.get(tokens)"),
        (rasp.Map(functools.partial(max, 3), tokens), "partial(max, 3)(tokens)"),
        (rasp.Map(lambda x: 0, tokens), "0; reads tokens"),
        (tokens & rasp.indices, "tokens and indices"),
        (rasp.SequenceMap(rasp.Comparison.LEQ, tokens, rasp.indices), "tokens <= indices"),
        (rasp.NarySequenceMap(lambda *on: any(on), tokens, rasp.indices), "any((tokens, indices))"),
    ],
)
def test_what_a_function_computes_is_shown(sop: rasp.SOp, text: str) -> None:
    name, _, shown = steps_text(sop).partition(" = ")
    assert shown == f"{type(sop).__name__}({text})"
    assert name == sop.name


def test_functions_with_names_follow_the_program() -> None:
    unit = 10

    def rounded(x: int) -> int:
        # to whole units
        return x // unit * unit

    same = rasp.Select(tokens, rasp.Map(rounded, tokens), lambda key, query: key == query + unit)
    assert program_text(rasp.SelectorWidth(same)).splitlines() == [
        "map = Map(rounded(tokens))",
        "selector_width = SelectorWidth(key tokens == query map + 10)",
        "",
        "# unit = 10",
        "def rounded(x: int) -> int:",
        "    # to whole units",
        "    return x // unit * unit",
    ]


def test_a_function_without_a_source_has_a_name() -> None:
    made = eval("lambda x: x + 1")
    assert applied_text(made, ["tokens"]) == ("f(tokens)", [])
    assert program_text(rasp.Map(made, tokens)) == "map = Map(f(tokens))"
