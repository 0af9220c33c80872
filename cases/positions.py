"""Tokens moved, or changed by where they stand."""

from __future__ import annotations

from collections.abc import Callable

from knowncircuits import rasp
from knowncircuits.cases.alphabets import LETTERS, NUMBERS, TEN_LETTERS
from knowncircuits.cases.case import Case

Move = Callable[[int, int], int]  # (position, length) -> position


def count_positions() -> rasp.SOp:
    """The input's length, counted by its positions, where `rasp.make_length` counts its tokens."""
    everything = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.TRUE)
    return rasp.SelectorWidth(everything.named("everything")).named("length")


def gather(source: Move, length: rasp.SOp) -> rasp.SOp:
    """At each position the token at its source."""
    sources = rasp.SequenceMap(source, rasp.indices, length).named("source")
    return rasp.Aggregate(rasp.Select(rasp.indices, sources, rasp.Comparison.EQ), rasp.tokens)


def scatter(target: Move, length: rasp.SOp) -> rasp.SOp:
    """Each token at its target; None where nothing goes."""
    targets = rasp.SequenceMap(target, rasp.indices, length).named("target")
    return rasp.Aggregate(rasp.Select(targets, rasp.indices, rasp.Comparison.EQ), rasp.tokens)


def element_at(place: int) -> rasp.SOp:
    """The token at a position, everywhere."""
    places = rasp.Map(lambda i: place, rasp.indices).named(f"place_{place}")
    element = rasp.Aggregate(rasp.Select(rasp.indices, places, rasp.Comparison.EQ), rasp.tokens)
    return element.named(f"element_{place}")


def element_from_end(k: int, length: rasp.SOp) -> rasp.SOp:
    """The k-th token from the end, everywhere; None in shorter inputs."""
    place = (length - k).named(f"place_{k}_from_end")
    element = rasp.Aggregate(rasp.Select(rasp.indices, place, rasp.Comparison.EQ), rasp.tokens)
    return element.named(f"element_{k}_from_end")


def double_minus_index() -> rasp.SOp:
    """Twice the token, less its position."""
    doubled = rasp.Map(lambda x: 2 * x, rasp.tokens).named("doubled")
    return -(rasp.indices - doubled).named("index_minus_double")


def first_occurrence() -> rasp.SOp:
    """The token itself, fetched by a head that attends to its own position."""
    here = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.EQ).named("here")
    return rasp.Aggregate(here, rasp.tokens)


def zero_every(period: int, place: int) -> rasp.SOp:
    """0 at one place of every period, the tokens elsewhere."""
    is_zeroed = rasp.Map(lambda i: i % period == place, rasp.indices).named("is_zeroed")
    return rasp.SequenceMap(lambda zeroed, x: 0 if zeroed else x, is_zeroed, rasp.tokens)


def increment_odd_positions() -> rasp.SOp:
    """One more at odd positions, the numbers themselves at even ones."""
    is_odd = rasp.Map(lambda i: i % 2, rasp.indices).named("is_odd")
    return rasp.tokens + is_odd


def swap_first_two() -> rasp.SOp:
    """The first two tokens swapped, the others in their places."""
    target = rasp.Map(lambda i: 1 - i if i < 2 else i, rasp.indices).named("target")
    return rasp.Aggregate(rasp.Select(target, rasp.indices, rasp.Comparison.EQ), rasp.tokens)


def swap_pairs(first: int) -> rasp.SOp:
    """Neighbours swapped, the pairs counted from a first position; what has no partner stays."""

    def partner(i: int, n: int) -> int:
        other = i + 1 if (i - first) % 2 == 0 else i - 1
        return other if first <= other < n else i

    return gather(partner, count_positions())


def insert_zeros() -> rasp.SOp:
    """The tokens of the first half at even positions, with zeros between them."""
    half_way = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == query // 2)
    spread = rasp.Aggregate(half_way, rasp.tokens).named("spread")
    return rasp.SequenceMap(lambda x, i: 0 if i % 2 else x, spread, rasp.indices)


def last_element_then_zeros() -> rasp.SOp:
    """The last token at the first position, zeros after it."""
    last = element_from_end(1, rasp.make_length())
    return rasp.SequenceMap(lambda x, i: 0 if i else x, last, rasp.indices)


def flip_halves() -> rasp.SOp:
    """The second half, then the first; the middle stays where it is."""

    def target(i: int, centre: float) -> int:
        shift = int(centre + 1)  # from a place in one half to the same place in the other
        return i + shift if i < centre else i - shift if i > centre else i

    centre = rasp.Map(lambda n: (n - 1) / 2, count_positions()).named("centre")
    targets = rasp.SequenceMap(target, rasp.indices, centre).named("target")
    return rasp.Aggregate(rasp.Select(targets, rasp.indices, rasp.Comparison.EQ), rasp.tokens)


CASES = (
    Case(
        name="reverse",
        family="positions",
        description="The input from its end to its start.",
        program=rasp.make_reverse(rasp.tokens),
        vocab=LETTERS,
        max_len=9,
        interpbench_id=2,
    ),
    Case(
        name="double_minus_index",
        family="positions",
        description="Twice each number, less its position.",
        program=double_minus_index(),
        vocab=tuple(range(5)),
        max_len=4,
        causal=True,
        interpbench_id=15,
    ),
    Case(
        name="first_occurrence",
        family="positions",
        description="Each token as it is, fetched by its position.",
        program=first_occurrence(),
        vocab=("a", "b", "c"),
        max_len=9,
        causal=True,
        interpbench_id=24,
    ),
    Case(
        name="first_element",
        family="positions",
        description="The first token, everywhere.",
        program=element_at(0),
        vocab=TEN_LETTERS,
        max_len=9,
        causal=True,
        interpbench_id=42,
    ),
    Case(
        name="increment_odd_positions",
        family="positions",
        description="One more than each number at odd positions, the number at even ones.",
        program=increment_odd_positions(),
        vocab=NUMBERS,
        max_len=9,
        causal=True,
        interpbench_id=53,
    ),
    Case(
        name="zero_every_third",
        family="positions",
        description="The numbers, with 0 for every third.",
        program=zero_every(3, place=2),
        vocab=NUMBERS,
        max_len=9,
        causal=True,
        interpbench_id=56,
    ),
    Case(
        name="second_element",
        family="positions",
        description="The second token, everywhere.",
        program=element_at(1),
        vocab=TEN_LETTERS,
        max_len=9,
        interpbench_id=57,
    ),
    Case(
        name="mirror_first_half",
        family="positions",
        description="The first half, then the same backwards.",
        program=gather(lambda i, n: min(i, n - 1 - i), rasp.make_length()),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=58,
    ),
    Case(
        name="interleave_with_reverse",
        family="positions",
        description="The numbers at even positions in place, those at odd ones in reverse order.",
        program=gather(lambda i, n: n - n % 2 - i if i % 2 else i, count_positions()),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=74,
    ),
    Case(
        name="zero_even_positions",
        family="positions",
        description="The numbers at odd positions, 0 at even ones.",
        program=zero_every(2, place=0),
        vocab=NUMBERS,
        max_len=9,
        causal=True,
        interpbench_id=76,
    ),
    Case(
        name="swap_odd_pairs",
        family="positions",
        description="The first number, then the pairs after it, each swapped.",
        program=swap_pairs(first=1),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=93,
    ),
    Case(
        name="swap_first_two",
        family="positions",
        description="The first two numbers swapped, the others in their places.",
        program=swap_first_two(),
        vocab=NUMBERS,
        max_len=10,
        interpbench_id=100,
    ),
    Case(
        name="swap_neighbours",
        family="positions",
        description="Pair after pair of numbers, each swapped.",
        program=swap_pairs(first=0),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=103,
    ),
    Case(
        name="keep_index_one",
        family="positions",
        description="The second number in its place, zeros elsewhere.",
        program=rasp.SequenceMap(lambda x, i: x if i == 1 else 0, rasp.tokens, rasp.indices),
        vocab=NUMBERS,
        max_len=9,
        causal=True,
        interpbench_id=106,
    ),
    Case(
        name="insert_zeros",
        family="positions",
        description="The numbers with zeros between them, as far as there is room.",
        program=insert_zeros(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=110,
    ),
    Case(
        name="last_element_then_zeros",
        family="positions",
        description="The last number in the first place, zeros elsewhere.",
        program=last_element_then_zeros(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=111,
    ),
    Case(
        name="flip_halves",
        family="positions",
        description="The second half, then the first; a middle number stays.",
        program=flip_halves(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=120,
    ),
    Case(
        name="swap_first_and_last",
        family="positions",
        description="The first and the last number swapped, the others in their places.",
        program=scatter(lambda i, n: n - 1 - i if i in (0, n - 1) else i, count_positions()),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=128,
    ),
)
