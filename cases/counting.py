"""Counting: how often, how large a share, how many greater."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case


def fraction_of(token: str) -> rasp.SOp:
    """The share of a token in the input so far."""
    return rasp.make_frac_prevs(rasp.numerical(rasp.tokens == token).named(f"is_{token}"))


def frequency_class() -> rasp.SOp:
    """Each token's count beside the length, as a word."""

    def classify(count: int, length: int) -> str:
        share = count / length
        return "frequent" if share > 0.5 else "common" if share > 0.25 else "rare"

    return rasp.SequenceMap(classify, rasp.make_hist(), rasp.make_length())


def count_greater() -> rasp.SOp:
    """How many tokens are greater than this one."""
    greater = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.GT)
    return rasp.SelectorWidth(greater).named("count_greater")


CASES = (
    Case(
        name="fraction_of_x",
        family="counting",
        description="The share of x among the tokens so far.",
        program=fraction_of("x"),
        vocab=("a", "b", "c", "x"),
        max_len=4,
        causal=True,
        interpbench_id=3,
    ),
    Case(
        name="histogram",
        family="counting",
        description="How often each token occurs in the input.",
        program=rasp.make_hist(),
        vocab=("a", "b", "c"),
        max_len=9,
        interpbench_id=7,
    ),
    Case(
        name="frequency_class",
        family="counting",
        description="Whether each token is rare, common or frequent in the input.",
        program=frequency_class(),
        vocab=("a", "b", "c", "d", "e"),
        max_len=9,
        interpbench_id=18,
    ),
    Case(
        name="count_greater",
        family="counting",
        description="How many tokens are greater than each token.",
        program=count_greater(),
        vocab=tuple(range(11)),
        max_len=9,
        interpbench_id=44,
    ),
)
