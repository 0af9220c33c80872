"""Programs in words."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.rasp.expressions import Expression
from knowncircuits.rasp.text import _selector


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
    x, y = "key tokens == query tokens", "key indices ~ query indices"
    assert _selector(same & ~before, names) == f"({x}) and (not ({y}))"
    assert _selector(same | before, names) == f"({x}) or ({y})"
    assert _selector(SelectorXor(same, ~before), names) == f"SelectorXor({x}, not ({y}))"
