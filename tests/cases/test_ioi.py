"""Indirect object identification: what is said, how inputs are corrupted, what heads do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest

import knowncircuits as kc
from knowncircuits.cases import check_case, draw_pairs, draw_stratum, strata_of
from knowncircuits.cases.ioi import CORRUPTIONS, IOI, NAMES, PROMPTS
from knowncircuits.circuit import Label
from knowncircuits.compiler import Compiled
from knowncircuits.evaluation import make_task
from knowncircuits.rasp import Value
from knowncircuits.roles import DUPLICATE_TOKEN, NAME_MOVER, S_INHIBITION

Words = tuple[Value, ...]


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return IOI.compile()


def words(codes: np.ndarray) -> list[Words]:
    return [tuple(IOI.vocab[i] for i in row) for row in codes]


def names_of(sentence: Sequence[Value]) -> list[str]:
    return [str(word) for word in sentence if word in NAMES]


def said(sentence: Sequence[Value]) -> str | None:
    """The indirect object, by counting; None where no name comes twice."""
    there = names_of(sentence)
    return None if len(set(there)) == 3 else next(x for x in there if there.count(x) == 1)


def test_cases_stand_apart_in_a_suite_of_their_own() -> None:
    assert kc.list_cases("components") == ["ioi", "ioi_backup"]
    assert kc.load_case("ioi") is IOI
    assert not {"ioi", "ioi_backup"} & {*kc.list_cases(), *kc.list_cases("hard")}


def test_the_sentences() -> None:
    """8 names, 3 places and 4 objects in 3 templates, each in either order or with a third name."""
    every = words(IOI.enumerate())
    assert len(every) == len(set(every)) == (2 * 8 * 7 + 8 * 7 * 6) * 3 * 12
    assert sum(said(sentence) is not None for sentence in every) == len(list(PROMPTS)) == 4032
    assert " ".join(every[0]) == (  # type: ignore[arg-type]
        "Then , Mary and John went to the store . Mary gave a ring to"
    )
    orders = {tuple(names_of(s)) for s in every}
    assert orders == {
        *permutations(NAMES, 3),
        *((a, b, c) for a, b in permutations(NAMES, 2) for c in (a, b)),
    }


def test_the_program_says_the_indirect_object_at_the_end() -> None:
    every = words(IOI.enumerate())
    answers = IOI.interpret(every)
    assert all(row[:-1] == [None] * 14 for row in answers)
    assert [row[-1] for row in answers] == [said(sentence) for sentence in every]


def test_the_compiled_model_says_it_too(compiled: Compiled) -> None:
    every = IOI.enumerate()[::23]
    answers = compiled.decode(compiled.model(compiled.to_ids(every)))
    assert [row[-1] for row in answers] == [said(sentence) for sentence in words(every)]
    assert all(row[:-1] == [None] * 14 for row in answers)


def test_data_can_be_trusted() -> None:
    assert not check_case(IOI, n=300).problems


def test_the_circuit_and_its_roles(compiled: Compiled) -> None:
    assert compiled.circuit.edges() == (
        *("embed->m0", "m0->a1.h0<q>", "m0->a1.h0<k>"),
        *("a1.h0->a2.h0<k>", "m0->a2.h0<v>"),
        *("a2.h0->a3.h0<q>", "m0->a3.h0<k>", "m0->a3.h0<v>"),
        "a3.h0->logits",
    )
    assert compiled.circuit.roles == {
        "a1.h0": DUPLICATE_TOKEN,
        "a2.h0": S_INHIBITION,
        "a3.h0": NAME_MOVER,
    }


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_corruptions(corruption: str) -> None:
    pairs = draw_pairs(IOI, 200, 0, corruption)
    assert np.array_equal(pairs.clean, draw_pairs(IOI, 200, 0).clean)
    for clean, corrupted in zip(words(pairs.clean), words(pairs.corrupted), strict=True):
        before, after = names_of(clean), names_of(corrupted)
        assert [w for w in clean if w not in NAMES] == [w for w in corrupted if w not in NAMES]
        if corruption == "abc":
            assert len({*before, *after}) == 5
        elif corruption == "swap":
            assert after == [before[1], before[0], before[2]]
            assert said(corrupted) == said(clean)
        else:
            assert after == [*before[:2], said(clean)]
            assert said(corrupted) == before[2]


def test_corruptions_stay_in_a_split() -> None:
    pairs = draw_pairs(IOI, 30, 0, "s2-io", split="test")
    assert IOI.allows(np.concatenate([pairs.clean, pairs.corrupted]), "test").all()


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_exact_finds_the_edges_that_a_corruption_shows(compiled: Compiled, corruption: str) -> None:
    """S2->IO leaves what the duplicate token head says; swap shows only where the names are."""
    task = make_task(compiled, 20, corruption=corruption)
    scores = kc.discover("exact", task).values
    found = {edge for edge, x in zip(task.graph.edges, scores, strict=True) if x > 1e-9}
    everything = set(compiled.circuit.edges())
    unseen = {
        "abc": set(),
        # The name at S2 is another one, and one that was there before as well; nobody copies it.
        "s2-io": {"m0->a1.h0<q>", "m0->a1.h0<k>", "a1.h0->a2.h0<k>", "m0->a3.h0<v>"},
        # S2 stays and what is said of it, and so does the answer where both names have moved.
        "swap": {
            *("embed->m0", "a1.h0->a2.h0<k>", "m0->a2.h0<v>", "a2.h0->a3.h0<q>"),
            "a3.h0->logits",
        },
    }[corruption]
    assert found <= everything
    assert found == everything - unseen


@pytest.mark.parametrize("stratum", strata_of(IOI))
def test_strata_stay_in_the_grammar_and_are_of_test_inputs(stratum: str) -> None:
    pairs = draw_stratum(IOI, stratum, 100, 0, split="test")
    assert IOI.allows(np.concatenate([pairs.base, pairs.source])).all()
    if stratum != "minimal":  # whose change may lead out of the test inputs
        assert pairs.n_beyond == 0


def test_random_pairs_show_every_edge(compiled: Compiled) -> None:
    task = make_task(compiled, 20)
    assert kc.score(kc.discover("exact", task), compiled.circuit).average_precision == 1.0
    assert len(compiled.circuit.edges(Label.OUT)) == 32
