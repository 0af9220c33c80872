"""Grammars: what sentences there are, and cases whose inputs, pairs and strata are among them."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from knowncircuits import rasp
from knowncircuits.cases import Case, draw_pairs, draw_stratum, load_case, strata_of
from knowncircuits.cases.grammar import Grammar
from knowncircuits.cases.ioi import NAMES
from knowncircuits.compiler import Compiled, compile_program
from knowncircuits.errors import CompileError, InputError, UnknownNameError
from knowncircuits.rasp.meant import Meant
from knowncircuits.rasp.vocabulary import Vocabulary

PEOPLE, THINGS = ("ann", "ben", "cat", "dan", "eve"), ("ring", "bone", "drum")
TEMPLATES = ("X saw Y", "now X saw Y", "X gave Y a THING")
SLOTS = {"X": PEOPLE, "Y": PEOPLE, "THING": THINGS}
GRAMMAR = Grammar(TEMPLATES, SLOTS, frozenset("XY"))
SENTENCES = [  # again, in plain words
    *((x, "saw", y) for x in PEOPLE for y in PEOPLE if x != y),
    *(("now", x, "saw", y) for x in PEOPLE for y in PEOPLE if x != y),
    *((x, "gave", y, "a", thing) for x in PEOPLE for y in PEOPLE if x != y for thing in THINGS),
]


def latest_person() -> rasp.SOp:
    """The one who was named before: a head that averages names is right where there is but one."""
    person = rasp.Map(lambda word: word if word in PEOPLE else None, rasp.tokens).named("person")
    other = rasp.Select(person, person, rasp.Comparison.NEQ)
    return rasp.Aggregate(other, person).named("other")


@cache
def seen() -> Case:
    return Case(
        name="who_saw",
        family="grammar",
        description="The other one of two people.",
        program=latest_person(),
        vocab=GRAMMAR.words,
        max_len=5,
        causal=True,
        only_lengths=GRAMMAR.lengths,
        sampler=GRAMMAR.sampler(GRAMMAR.words),
        inputs=GRAMMAR,
    )


@cache
def compiled() -> Compiled:
    return seen().compile()


def words(codes: np.ndarray) -> list[tuple[str, ...]]:
    return [tuple(GRAMMAR.words[i] for i in row) for row in codes]


def test_sentences_are_the_templates_with_all_that_fills_them() -> None:
    assert sorted(GRAMMAR) == sorted(SENTENCES)
    assert GRAMMAR.words == (*PEOPLE, *THINGS, "saw", "now", "gave", "a")
    assert GRAMMAR.lengths == (3, 4, 5)
    twice = Grammar(("X saw Y", "Y saw X"), SLOTS)
    assert sorted(twice) == sorted((x, "saw", y) for x in PEOPLE for y in PEOPLE)


def test_a_sampler_draws_every_sentence_of_a_length_alike() -> None:
    sampler = GRAMMAR.sampler(GRAMMAR.words)
    drawn = Counter(words(sampler(np.random.default_rng(0), 6000, 3, 12)))
    assert set(drawn) == {s for s in SENTENCES if len(s) == 3}
    assert all(200 < count < 400 for count in drawn.values())  # 300 expected
    with pytest.raises(InputError, match=r"sentences of 3, 4, 5 words, got 2"):
        sampler(np.random.default_rng(0), 1, 2, 12)


def test_grammars_that_are_none() -> None:
    with pytest.raises(InputError, match=r"templates with words, got \['a X', ' '\]"):
        Grammar(("a X", " "), SLOTS)
    with pytest.raises(InputError, match="slots among X, Y, THING, got Z"):
        Grammar(("a X",), SLOTS, frozenset("XZ"))


def test_the_compiler_checks_exactly_the_sentences() -> None:
    """On all inputs the program cannot be compiled; on these it can, and one more is found out."""
    vocabulary = Vocabulary(GRAMMAR.words, 5)
    with pytest.raises(CompileError, match="several different values"):
        compile_program(latest_person(), vocabulary, causal=True)
    for length in GRAMMAR.lengths:
        for sentence in [s for s in SENTENCES if len(s) == length][::7]:
            assert compiled()(sentence) == seen().interpret([sentence])[0]
    worse = [*SENTENCES, ("ann", "saw", "ben", "saw", "cat")]  # cat has two others before
    with pytest.raises(CompileError, match="as on .*'cat'"):
        compile_program(latest_person(), vocabulary, causal=True, inputs=worse)
    with pytest.raises(InputError, match="meant for, got .*'ann', 'saw', 'ann'"):
        compiled()(("ann", "saw", "ann"))


def test_what_is_listed_once_is_known() -> None:
    meant = seen().meant
    assert meant is not None
    assert Meant.of(meant, Vocabulary(GRAMMAR.words, 9, pad=True)) is meant
    with pytest.raises(InputError, match=r"inputs of \['a'\], got some of \['ann'"):
        Meant.of(meant, Vocabulary(("a",), 3))


def test_there_are_no_other_inputs() -> None:
    case = seen()
    assert case.lengths == (3, 4, 5)
    for length in case.lengths:
        there = [s for s in SENTENCES if len(s) == length]
        assert case.n_inputs(length) == len(there)
        assert sorted(words(case.enumerate(length))) == sorted(there)
    assert case.n_inputs(2) == 0


@pytest.mark.parametrize("corruption", ["resample", "minimal", "variable:person", "variable:other"])
@pytest.mark.parametrize("split", [None, "test"])
def test_pairs_are_of_sentences(corruption: str, split: str | None) -> None:
    pairs = draw_pairs(seen(), 40, 0, corruption, split=split)
    for codes in (pairs.clean, pairs.corrupted):
        assert set(words(codes)) <= set(SENTENCES)


@pytest.mark.parametrize("name", ["rare_10", "sink_40"])
def test_minimal_pairs_of_a_predicate_are_meant_too(name: str) -> None:
    case = load_case(name)
    pairs = draw_pairs(case, 50, 0, "minimal")
    assert case.allows(pairs.corrupted).all()


@pytest.mark.parametrize("stratum", ["sampler", "balanced", "skewed", "minimal", "length:3"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_strata_stay_in_the_grammar(stratum: str, split: str) -> None:
    assert stratum in strata_of(seen())
    pairs = draw_stratum(seen(), stratum, 60, 0, split=split)
    assert (pairs.base != pairs.source).any(1).all()
    for codes in (pairs.base, pairs.source):
        assert set(words(codes)) <= set(SENTENCES)
    if stratum == "minimal":  # all but a few have a neighbour
        assert ((pairs.base != pairs.source).sum(1) == 1).mean() > 0.8


def test_skewed_sentences_have_few_different_words() -> None:
    """A quarter of `ioi`'s sentences name someone twice, and more than that of the skewed ones."""
    case = load_case("ioi")
    skewed = draw_stratum(case, "skewed", 400, 0)

    def twice(codes: np.ndarray) -> float:
        names = codes[codes < len(NAMES)].reshape(len(codes), 3)
        return float(np.mean([len(set(row)) < 3 for row in names.tolist()]))

    assert twice(case.enumerate()) == pytest.approx(0.25)
    assert twice(skewed.base) > 0.33
    assert case.allows(skewed.base).all()


def test_corruptions_of_a_case_are_named_among_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="abc"):
        draw_pairs(load_case("ioi"), 5, corruption="abd")
    with pytest.raises(UnknownNameError):
        draw_pairs(load_case("histogram"), 5, corruption="abc")
