"""Sorting, and what is found by it: the median, the maximum, first occurrences."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.alphabets import NUMBERS, WORDS
from knowncircuits.cases.case import Case
from knowncircuits.cases.samplers import uniform_maximum


def unique_tokens_first() -> rasp.SOp:
    """Each token where it first occurs, nothing where it is repeated."""
    occurrence = rasp.SequenceMap(lambda t, i: (t, i), rasp.tokens, rasp.indices)
    earlier = rasp.Select(
        occurrence, occurrence, lambda key, query: key[0] == query[0] and key[1] < query[1]
    )
    repeats = rasp.SelectorWidth(earlier).named("repeats")
    source = rasp.SequenceMap(lambda n, i: i if n == 0 else -1, repeats, rasp.indices)
    here = rasp.Select(source.named("source"), rasp.indices, rasp.Comparison.EQ)
    return rasp.Aggregate(here, rasp.tokens).named("unique_tokens")


def sort_words_by_length() -> rasp.SOp:
    """The words from short to long, equally long ones in their order."""
    word_length = rasp.Map(len, rasp.tokens).named("word_length")
    return rasp.make_sort(rasp.tokens, word_length, max_seq_len=10, min_key=1)


def median() -> rasp.SOp:
    """The number in the middle of the sorted input, or the mean of the two there."""
    length = rasp.make_length()
    ordered = rasp.make_sort(rasp.tokens, rasp.tokens, max_seq_len=10, min_key=1)
    lower = rasp.Map(lambda n: (n - 1) // 2, length).named("lower_middle")
    upper = rasp.Map(lambda n: n // 2, length).named("upper_middle")
    at_lower, at_upper = (
        rasp.Aggregate(rasp.Select(rasp.indices, middle, rasp.Comparison.EQ), ordered)
        for middle in (lower, upper)
    )
    return rasp.SequenceMap(lambda x, y: (x + y) / 2, at_lower, at_upper)


def maximum() -> rasp.SOp:
    """The greatest number: the one that as many are not greater than as there are."""
    # Ties are broken by position, so that exactly one number is selected.
    key = rasp.SequenceMap(lambda x, i: (x, i), rasp.tokens, rasp.indices).named("unique_key")
    rank = rasp.SelectorWidth(rasp.Select(key, key, rasp.Comparison.LEQ)).named("n_not_greater")
    last = rasp.Select(rank, rasp.make_length(), rasp.Comparison.EQ)
    return rasp.Aggregate(last, rasp.tokens).named("maximum")


def scale_by_maximum() -> rasp.SOp:
    """Each number as a fraction of the greatest; 0 where all are 0."""
    return rasp.SequenceMap(lambda x, top: x / top if top else 0, rasp.tokens, maximum())


CASES = (
    Case(
        name="sort_unique_numbers",
        family="sorting",
        description="The numbers in ascending order.",
        program=rasp.make_sort(rasp.tokens, rasp.tokens, max_seq_len=10, min_key=1),
        vocab=tuple(range(10)),
        max_len=9,
        interpbench_id=9,
    ),
    Case(
        name="unique_tokens_first",
        family="sorting",
        description="Each token at its first occurrence, nothing at later ones.",
        program=unique_tokens_first(),
        vocab=("a", "b", "c"),
        max_len=9,
        causal=True,
        interpbench_id=21,
    ),
    Case(
        name="sort_words_by_length",
        family="sorting",
        description="The words from short to long, equally long ones in their order.",
        program=sort_words_by_length(),
        vocab=WORDS,
        max_len=9,
        interpbench_id=22,
    ),
    Case(
        name="sort",
        family="sorting",
        description="The numbers from 0 to 10 in ascending order.",
        program=rasp.make_sort(rasp.tokens, rasp.tokens, max_seq_len=10, min_key=1),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=59,
    ),
    Case(
        name="median_variant",
        family="sorting",
        description="The median; InterpBench has this program twice.",
        program=median(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=81,
    ),
    Case(
        name="scale_by_maximum",
        family="sorting",
        description="Each number divided by the greatest.",
        program=scale_by_maximum(),
        vocab=NUMBERS,
        max_len=9,
        sampler=uniform_maximum,
        interpbench_id=97,
    ),
    Case(
        name="maximum",
        family="sorting",
        description="The greatest number, everywhere.",
        program=maximum(),
        vocab=NUMBERS,
        max_len=9,
        sampler=uniform_maximum,
        interpbench_id=98,
    ),
    Case(
        name="median",
        family="sorting",
        description="The median: the middle number, or the mean of the middle two.",
        program=median(),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=126,
    ),
)
