"""Sorting, and putting first what comes first."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case


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
)
