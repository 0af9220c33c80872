"""Neighbours and repeats compared."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case


def oscillation() -> rasp.SOp:
    """Whether the numbers turn here: they rise to it or they rise from it, but not both."""
    before, after = rasp.shift_by(1, rasp.tokens), rasp.shift_by(-1, rasp.tokens)
    rises_to = rasp.SequenceMap(lambda x, y: x < y, before, rasp.tokens).named("rises_to")
    rises_from = rasp.SequenceMap(lambda x, y: x < y, rasp.tokens, after).named("rises_from")
    return (rises_to != rises_from).named("turns")


def zero_duplicates() -> rasp.SOp:
    """The tokens, with 0 for each one that occurs more than once."""
    count = rasp.make_hist().named("count")
    # Positions change nothing here; InterpBench's program carries them along, and so its circuit does.
    index = rasp.Map(lambda i: i, rasp.indices).named("index")
    carried = rasp.SequenceMap(lambda n, i: n, count, index).named("carried")
    once = rasp.Map(lambda n: n == 1, carried).named("once")
    return rasp.SequenceMap(lambda keep, x: x if keep else 0, once, rasp.tokens)


def contains(pattern: str) -> rasp.SOp:
    """Whether the pattern ends here."""
    return rasp.detect_pattern(rasp.tokens, pattern)


CASES = (
    Case(
        name="oscillation",
        family="comparisons",
        description="Whether the numbers rise to each one or from it, but not both.",
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
