"""Neighbours and repeats compared."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case


def oscillation() -> rasp.SOp:
    """Whether the numbers turn here: up then down, or down then up."""
    before = rasp.shift_by(1, rasp.tokens)
    after = rasp.shift_by(-1, rasp.tokens)
    rises = rasp.SequenceMap(lambda x, y: (y > x) - (y < x), before, rasp.tokens)
    falls = rasp.SequenceMap(lambda x, y: (y > x) - (y < x), after, rasp.tokens)
    turns = rasp.SequenceMap(lambda x, y: x * y > 0, rises.named("rises"), falls.named("falls"))
    return turns.named("turns")


def zero_duplicates() -> rasp.SOp:
    """The tokens, with 0 for each one that occurs more than once."""
    count = rasp.make_hist().named("count")
    index = rasp.Map(lambda i: i, rasp.indices).named("index")
    counted = rasp.SequenceMap(lambda n, i: n if i >= 0 else 0, count, index).named("counted")
    once = rasp.Map(lambda n: n == 1, counted).named("once")
    return rasp.SequenceMap(lambda keep, x: x if keep else 0, once, rasp.tokens)


def contains(pattern: str) -> rasp.SOp:
    """Whether the pattern ends here."""
    return rasp.detect_pattern(rasp.tokens, pattern)


CASES = (
    Case(
        name="oscillation",
        family="comparisons",
        description="Whether each number is above, or below, both its neighbours.",
        program=oscillation(),
        vocab=tuple(range(10)),
        max_len=9,
        interpbench_id=6,
    ),
    Case(
        name="contains_abc",
        family="comparisons",
        description="Whether the tokens up to here end in abc.",
        program=contains("abc"),
        vocab=("a", "b", "c"),
        max_len=14,
        causal=True,
        interpbench_id=12,
    ),
    Case(
        name="zero_duplicates",
        family="comparisons",
        description="The tokens, with 0 for each one that occurs more than once.",
        program=zero_duplicates(),
        vocab=tuple(range(1, 11)),
        max_len=9,
        interpbench_id=96,
    ),
)
