"""Counting: how often, how large a share, how many greater."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.alphabets import LETTERS, NUMBERS, TEN_LETTERS
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


def count_that_are(comparison: rasp.Comparison) -> rasp.SOp:
    """How many tokens compare so with this one."""
    return rasp.SelectorWidth(rasp.Select(rasp.tokens, rasp.tokens, comparison)).named("count")


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
        program=count_that_are(rasp.Comparison.GT),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=44,
    ),
    Case(
        name="count_a",
        family="counting",
        description="How often the letter a occurs in the input.",
        program=rasp.make_count(rasp.tokens, "a"),
        vocab=("a", "b", "c"),
        max_len=9,
        interpbench_id=14,
    ),
    Case(
        name="frequency_normalised",
        family="counting",
        description="The share of each token in the input.",
        program=rasp.make_hist() / rasp.make_length(),
        vocab=("a", "b", "c"),
        max_len=9,
        interpbench_id=25,
    ),
    Case(
        name="fraction_of_x_long",
        family="counting",
        description="The share of x among the tokens so far, in long inputs of many letters.",
        program=fraction_of("x"),
        vocab=LETTERS,
        max_len=59,
        # Shorter inputs are beginnings of longer ones to a causal program: a few lengths will do.
        only_lengths=(1, 2, 3, 4, 8, 16, 32, 59),
        causal=True,
        interpbench_id=39,
    ),
    Case(
        name="frequency",
        family="counting",
        description="How often each token occurs in the input, of ten letters.",
        program=rasp.make_hist(),
        vocab=TEN_LETTERS,
        max_len=9,
        interpbench_id=47,
    ),
    Case(
        name="rank",
        family="counting",
        description="The place of each number if the numbers were sorted, from 1; ties share it.",
        program=count_that_are(rasp.Comparison.LT) + 1,
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=61,
    ),
    Case(
        name="count_less",
        family="counting",
        description="How many tokens are less than each token.",
        program=count_that_are(rasp.Comparison.LT),
        vocab=NUMBERS,
        max_len=9,
        interpbench_id=63,
    ),
    Case(
        name="occurrences",
        family="counting",
        description="How often each token occurs in the input; InterpBench has this program twice.",
        program=rasp.make_hist(),
        vocab=TEN_LETTERS,
        max_len=9,
        interpbench_id=78,
    ),
)
