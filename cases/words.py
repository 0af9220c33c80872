"""Words: what their letters say, alone and beside other words."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.alphabets import WORDS, words_and
from knowncircuits.cases.case import Case


def symmetric_words() -> rasp.SOp:
    """The words that read the same backwards; None for others."""
    backwards = rasp.Map(lambda word: word[::-1], rasp.tokens).named("backwards")
    symmetric = (backwards == rasp.tokens).named("symmetric")
    return rasp.SequenceMap(lambda keep, word: word if keep else None, symmetric, rasp.tokens)


def mean_word_length_of_equal_length() -> rasp.SOp:
    """The mean length of the words that are as long as this one: its length."""
    length = rasp.Map(len, rasp.tokens).named("word_length")
    return rasp.Aggregate(rasp.Select(length, length, rasp.Comparison.EQ), length)


def repeat_token_index_times() -> rasp.SOp:
    """The token once, then twice, then three times, and so on."""
    return rasp.SequenceMap(lambda word, i: word * (i + 1), rasp.tokens, rasp.indices)


def type_boundary() -> rasp.SOp:
    """Whether a word differs from the one before it."""
    return rasp.shift_by(1, rasp.tokens) != rasp.tokens


CASES = (
    Case(
        name="symmetric_words",
        family="words",
        description="The words that read the same backwards, nothing for others.",
        program=symmetric_words(),
        vocab=words_and("radar", "rotor"),
        max_len=9,
        causal=True,
        interpbench_id=10,
    ),
    Case(
        name="mean_word_length_of_equal_length",
        family="words",
        description="The mean length of the words so far that are as long as each one.",
        program=mean_word_length_of_equal_length(),
        vocab=WORDS,
        max_len=9,
        causal=True,
        interpbench_id=11,
    ),
    Case(
        name="repeat_token_index_times",
        family="words",
        description="The first token once, the second twice, the third three times, and so on.",
        program=repeat_token_index_times(),
        vocab=("a", "b", "c"),
        max_len=9,
        causal=True,
        interpbench_id=26,
    ),
    Case(
        name="type_boundary",
        family="words",
        description="Whether each word differs from the one before it.",
        program=type_boundary(),
        vocab=(
            "MbJmTPSI",
            "SBvrj",
            "UDIh",
            "Wvgfy",
            "bVrp",
            "fJsONxK",
            "fLBcbfno",
            "iVgRV",
            "oCLrZaW",
            "wwMq",
        ),
        max_len=9,
        causal=True,
        interpbench_id=32,
    ),
)
