"""Properties of the whole input: each counts the positions that violate, or show, something."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.alphabets import NUMBERS, TEN_LETTERS
from knowncircuits.cases.case import Case
from knowncircuits.cases.positions import count_positions
from knowncircuits.cases.samplers import (
    alternating,
    ascending,
    balanced,
    constant,
    descending,
    distinct,
    equal_at_the_end,
    even,
    mirrored,
)


def count_where(sop: rasp.SOp, comparison: rasp.Comparison, value: rasp.Value) -> rasp.SOp:
    """At how many positions an S-Op compares so with a value."""
    everywhere = rasp.Map(lambda i: value, rasp.indices).named(f"constant_{value}")
    return rasp.SelectorWidth(rasp.Select(sop, everywhere, comparison)).named("count_where")


def holds_everywhere(condition: rasp.SOp) -> rasp.SOp:
    """1 if a condition is nowhere false, 0 otherwise."""
    violations = count_where(condition, rasp.Comparison.EQ, False)
    return rasp.Map(lambda n: int(n == 0), violations)


def is_sorted(in_order: rasp.Comparison) -> rasp.SOp:
    """1 if every two neighbours are in order, 0 otherwise."""
    return holds_everywhere(rasp.SequenceMap(in_order, rasp.shift_by(1, rasp.tokens), rasp.tokens))


def all_equal() -> rasp.SOp:
    """1 if all tokens are equal, 0 otherwise."""
    different = rasp.SelectorWidth(rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.NEQ))
    odd_ones = count_where(different.named("different"), rasp.Comparison.NEQ, 0)
    return rasp.Map(lambda n: int(n == 0), odd_ones)


def any_two_equal() -> rasp.SOp:
    """1 if some token occurs twice, 0 otherwise."""
    repeated = count_where(rasp.make_hist(), rasp.Comparison.GT, 1)
    return rasp.Map(lambda n: int(n > 0), repeated)


def all_multiples_of_two() -> rasp.SOp:
    """1 if all numbers are even, 0 otherwise."""
    return holds_everywhere(rasp.Map(lambda x: x % 2 == 0, rasp.tokens).named("is_even"))


def alternating_parity() -> rasp.SOp:
    """1 if even and odd numbers take turns, 0 otherwise."""
    before = rasp.Map(lambda x: x % 2, rasp.shift_by(1, rasp.tokens)).named("parity_before")
    parity = rasp.Map(lambda x: x % 2, rasp.tokens).named("parity")
    return holds_everywhere((before != parity).named("alternates"))


def last_two_equal() -> rasp.SOp:
    """1 if the last two tokens are equal, 0 otherwise."""
    length = rasp.make_length()
    last, second_last = (
        rasp.Aggregate(rasp.Select(rasp.indices, length - k, rasp.Comparison.EQ), rasp.tokens)
        for k in (1, 2)
    )
    return rasp.SequenceMap(lambda x, y: int(x == y), last, second_last)


def palindrome() -> rasp.SOp:
    """Whether each token equals the one opposite to it."""
    return rasp.make_reverse(rasp.tokens) == rasp.tokens


def invert_if_sorted() -> rasp.SOp:
    """The input reversed if it ascends, unchanged otherwise.

    To reverse is to change the sign of each position's distance from the centre.
    """
    length = count_positions()
    falls = rasp.shift_by(1, rasp.tokens) > rasp.tokens
    n_falls = count_where(falls.named("falls"), rasp.Comparison.EQ, True)
    centre = rasp.Map(lambda n: (n - 1) / 2, length).named("centre")
    distance = (rasp.indices - centre).named("distance")
    sign = rasp.Map(lambda n: -1 if n == 0 else 1, n_falls).named("sign")
    target = (centre + (sign * distance).named("signed")).named("target")
    return rasp.Aggregate(rasp.Select(target, rasp.indices, rasp.Comparison.EQ), rasp.tokens)


CASES = (
    Case(
        name="palindrome",
        family="properties",
        description="Whether each token equals the one opposite to it.",
        program=palindrome(),
        vocab=TEN_LETTERS,
        max_len=9,
        sampler=balanced(mirrored),
        interpbench_id=17,
    ),
    Case(
        name="is_increasing",
        family="properties",
        description="1 if no number is less than the one before it, 0 otherwise.",
        program=is_sorted(rasp.Comparison.LEQ),
        vocab=NUMBERS,
        max_len=10,
        sampler=balanced(ascending),
        interpbench_id=89,
    ),
    Case(
        name="is_descending",
        family="properties",
        description="1 if no number is greater than the one before it, 0 otherwise.",
        program=is_sorted(rasp.Comparison.GEQ),
        vocab=NUMBERS,
        max_len=9,
        sampler=balanced(descending),
        interpbench_id=94,
    ),
    Case(
        name="any_two_equal",
        family="properties",
        description="1 if some number occurs twice, 0 otherwise.",
        program=any_two_equal(),
        vocab=NUMBERS,
        max_len=9,
        sampler=balanced(distinct),
        interpbench_id=108,
    ),
    Case(
        name="last_two_equal",
        family="properties",
        description="1 if the last two numbers are equal, 0 otherwise.",
        program=last_two_equal(),
        vocab=NUMBERS,
        max_len=9,
        sampler=balanced(equal_at_the_end, near_misses=False),
        interpbench_id=109,
    ),
    Case(
        name="invert_if_sorted",
        family="properties",
        description="The input reversed if it ascends, unchanged otherwise.",
        program=invert_if_sorted(),
        vocab=tuple(range(30)),
        max_len=9,
        sampler=balanced(ascending),
        interpbench_id=113,
    ),
    Case(
        name="all_equal",
        family="properties",
        description="1 if all numbers are equal, 0 otherwise.",
        program=all_equal(),
        vocab=NUMBERS,
        max_len=9,
        sampler=balanced(constant),
        interpbench_id=124,
    ),
    Case(
        name="alternating_parity",
        family="properties",
        description="1 if even and odd numbers take turns, 0 otherwise.",
        program=alternating_parity(),
        vocab=NUMBERS,
        max_len=9,
        sampler=balanced(alternating),
        interpbench_id=125,
    ),
    Case(
        name="all_multiples_of_two",
        family="properties",
        description="1 if all numbers are even, 0 otherwise.",
        program=all_multiples_of_two(),
        vocab=tuple(range(30)),
        max_len=9,
        sampler=balanced(even),
        interpbench_id=129,
    ),
)
