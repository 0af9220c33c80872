"""Neighbours and repeats compared."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.alphabets import NUMBERS
from knowncircuits.cases.case import Case
from knowncircuits.cases.positions import element_at
from knowncircuits.cases.samplers import balanced, containing


def oscillation() -> rasp.SOp:
    """Whether the numbers turn here: they rise to it or they rise from it, but not both."""
    before, after = rasp.shift_by(1, rasp.tokens), rasp.shift_by(-1, rasp.tokens)
    rises_to = rasp.SequenceMap(lambda x, y: x < y, before, rasp.tokens).named("rises_to")
    rises_from = rasp.SequenceMap(lambda x, y: x < y, rasp.tokens, after).named("rises_from")
    return (rises_to != rises_from).named("turns")


def zero_duplicates() -> rasp.SOp:
    """The tokens, with 0 for each one that occurs more than once."""
    count = rasp.make_hist().named("count")
    # Positions change nothing here; InterpBench's program reads them, and so its circuit does.
    index = rasp.Map(lambda i: i, rasp.indices).named("index")
    carried = rasp.SequenceMap(lambda n, i: n, count, index).named("carried")
    once = rasp.Map(lambda n: n == 1, carried).named("once")
    return rasp.SequenceMap(lambda keep, x: x if keep else 0, once, rasp.tokens)


def contains(pattern: str) -> rasp.SOp:
    """Whether the pattern ends here."""
    return rasp.detect_pattern(rasp.tokens, pattern)


def trend() -> rasp.SOp:
    """Whether the next number is greater, less or the same, as a word."""

    def name(here: int, after: int) -> str:
        return "increasing" if here < after else "decreasing" if here > after else "constant"

    return rasp.SequenceMap(name, rasp.tokens, rasp.shift_by(-1, rasp.tokens))


def drop_repeated_neighbour() -> rasp.SOp:
    """The tokens, with None for those that repeat the one before them."""
    return rasp.SequenceMap(
        lambda before, x: None if before == x else x, rasp.shift_by(1, rasp.tokens), rasp.tokens
    )


def differs_from_neighbours() -> rasp.SOp:
    """Whether a token differs from the one before it and from the one after it."""
    from_before = (rasp.shift_by(1, rasp.tokens) != rasp.tokens).named("differs_from_before")
    from_after = (rasp.shift_by(-1, rasp.tokens) != rasp.tokens).named("differs_from_after")
    return from_before & from_after


def zero_if_less_than_previous() -> rasp.SOp:
    """The numbers, with 0 for those that are less than the one before them."""
    to_previous = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == query - 1)
    before = rasp.Aggregate(to_previous, rasp.tokens, default=0).named("before")
    return rasp.SequenceMap(lambda before, x: 0 if x < before else x, before, rasp.tokens)


def multiple_of_first() -> rasp.SOp:
    """1 for multiples of the first number, 0 for others; nothing is a multiple of 0."""
    return rasp.SequenceMap(
        lambda first, x: int(first != 0 and x % first == 0), element_at(0), rasp.tokens
    )


def maximum_with_previous() -> rasp.SOp:
    """The greater one of each number and the one before it."""
    return rasp.SequenceMap(max, rasp.shift_by(1, rasp.tokens), rasp.tokens)


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
        sampler=balanced(containing(0, 1, 2), near_misses=False),
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
    Case(
        name="equals_token_two_back",
        family="comparisons",
        description="Whether each token equals the one two places before it.",
        program=rasp.shift_by(2, rasp.tokens) == rasp.tokens,
        vocab=("a", "b", "c", "d", "e"),
        max_len=9,
        causal=True,
        interpbench_id=1,
    ),
    Case(
        name="trend",
        family="comparisons",
        description="Whether the numbers increase, decrease or stay constant after each one.",
        program=trend(),
        vocab=(0, 1, 2),
        max_len=9,
        interpbench_id=13,
    ),
    Case(
        name="drop_repeated_neighbour",
        family="comparisons",
        description="The tokens, with nothing for those that repeat the one before them.",
        program=drop_repeated_neighbour(),
        vocab=("a", "b", "c"),
        max_len=14,
        causal=True,
        interpbench_id=19,
    ),
    Case(
        name="two_types_alternate",
        family="comparisons",
        description="Whether each token differs from both its neighbours.",
        program=differs_from_neighbours(),
        vocab=("a", "b", "c"),
        max_len=9,
        interpbench_id=38,
    ),
    Case(
        name="zero_if_less_than_previous",
        family="comparisons",
        description="The numbers, with 0 for those that are less than the one before them.",
        program=zero_if_less_than_previous(),
        vocab=NUMBERS,
        max_len=9,
        causal=True,
        interpbench_id=92,
    ),
    Case(
        name="multiple_of_first",
        family="comparisons",
        description="1 for multiples of the first number, 0 for others.",
        program=multiple_of_first(),
        vocab=NUMBERS,
        max_len=10,
        interpbench_id=116,
    ),
    Case(
        name="maximum_with_previous",
        family="comparisons",
        description="The greater one of each number and the one before it.",
        program=maximum_with_previous(),
        vocab=NUMBERS,
        max_len=9,
        causal=True,
        interpbench_id=131,
    ),
)
