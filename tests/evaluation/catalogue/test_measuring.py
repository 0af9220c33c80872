"""Difficulty: the stored numbers are current, and what no pair detects is told with its reason."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from knowncircuits import rasp
from knowncircuits.cases import CASES, Case, list_cases, load_case
from knowncircuits.cases.difficulty import (
    STORED,
    difficulty_table,
    load_difficulty,
    write_difficulties,
)
from knowncircuits.circuit import Label, circuit_from_edges
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.catalogue.measuring import (
    control_aurocs,
    is_degenerate,
    longest_path,
    measure_difficulty,
)
from knowncircuits.evaluation.methods.controls import BLIND
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.task import make_task
from knowncircuits.graph import Graph
from parts import some_long
from programs import TWELVE

REMEASURED = ("reverse", "mean_of_first_and_last", "sum_last_two_digits", "is_prime", *TWELVE)


@pytest.mark.parametrize(
    "name", some_long(dict.fromkeys(REMEASURED), "balanced_parentheses", "sort_unique_numbers")
)
def test_the_stored_difficulty_is_what_is_measured(name: str) -> None:
    assert measure_difficulty(load_case(name)) == load_difficulty(name), (
        "run `knowncircuits maintain difficulty`"
    )


def test_the_stored_cases_are_all_cases() -> None:
    assert list(json.loads(STORED.read_text())) == sorted(CASES)


FAMILIES = sorted({case.family for case in CASES.values()})


@pytest.mark.parametrize("family", some_long(FAMILIES, "sorting", "arithmetic", "counting"))
def test_the_stored_sizes_of_every_case_are_those_of_its_circuit(family: str) -> None:
    for name in list_cases(family=family):
        stored, circuit = load_difficulty(name), load_case(name).compile().circuit
        true = circuit.edges()
        merged = {edge.ends for edge in true}
        determined = int(circuit.determined.sum())
        attention = any(edge.source.kind == "head" for edge in true)
        assert stored.edges == circuit.graph.n_edges == determined + stored.undetermined_edges
        assert stored.true_edges == len(true)
        assert stored.true_head_edges == len(merged)
        assert stored.true_nodes == len({edge.source for edge in true})
        assert stored.degenerate == (len(true) < 3 or not attention)
        assert stored.auroc == control_aurocs(circuit)
        read_in_vain = {e for e in circuit.carries if circuit.label(e) == Label.UNDETERMINED}
        assert set(stored.undetected) >= read_in_vain


def test_every_true_edge_of_every_case_is_detected() -> None:
    """Should a case fail here, its difficulty says which edges are not, and why."""
    for name in CASES:
        stored = load_difficulty(name)
        assert stored.detected_edges == stored.true_edges
        assert 0 < stored.rarest <= 1


@pytest.mark.parametrize("name", ["fraction_of_x", "trend", "any_two_equal"])
def test_detection_agrees_with_exact_patching(name: str) -> None:
    compiled = load_case(name).compile()
    effects = discover("exact", make_task(compiled, 200)).values
    found = {compiled.circuit.graph.edges[i] for i in np.flatnonzero(effects > 1e-6)}
    stored = load_difficulty(name)
    assert len(found) == stored.detected_edges
    assert not found & set(stored.undetected)


def made(program: rasp.SOp, **facts: object) -> Case:
    return Case("made", "made", "Made.", program, **{"vocab": ("a", "b"), "max_len": 9, **facts})  # type: ignore[arg-type]


def test_a_count_that_never_gets_so_far() -> None:
    """At most two of the first two tokens are a; the compiler allows for as many as there are."""
    is_a = rasp.Select(rasp.tokens, rasp.tokens, lambda key, query: key == "a")
    in_front = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key < 2)
    count = rasp.SelectorWidth(is_a & in_front).named("count")
    found = measure_difficulty(made(rasp.Map(lambda n: n > 5, count).named("many")))
    assert (found.true_edges, found.detected_edges, found.rarest) == (4, 0, 0.0)
    assert found.pairs == 5_000
    assert (
        found.undetected.items()
        > {
            "embed->a0.h0<k>": "what a0.h0 writes differs, but the output never does",
            "a0.h0->m0": "what m0 writes differs, but the output never does",
            "m0->m1": "m1 gives the same whatever it reads of count",
            "m1->logits": "the same in every pair: many",
        }.items()
    )


def test_an_edge_that_moves_only_outputs_that_are_none() -> None:
    """Reading b where there is a turns None into both; all other answers are safe from it."""

    def answer(is_a: bool, is_b: bool) -> str | None:
        return "not a" if not is_a else "both" if is_b else None

    is_a = rasp.Map(lambda x: x == "a", rasp.tokens).named("is_a")
    is_b = rasp.SequenceMap(lambda x, a: x == "b" and not a, rasp.tokens, is_a).named("is_b")
    case = made(rasp.SequenceMap(answer, is_a, is_b), max_len=2)
    found = measure_difficulty(case, n_pairs=10)
    assert found.undetected == {
        "embed->m1": "what m1 writes differs, but the output never does",
        "m0->m1": "what m1 writes differs, but the output never does",
        "m1->m2": "the output differs only where it does not count, as the program's is None",
        "embed->m2": "the same in every pair: one",
    }
    assert found.pairs == 10 + 4 * 3  # all pairs of the four inputs
    assert (found.true_edges, found.detected_edges) == (6, 3)


def test_a_sampler_that_never_varies_what_is_read() -> None:
    def never_a(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        return rng.integers(1, n_tokens, size=(n, length))

    case = CASES["count_a"]
    found = measure_difficulty(
        Case("made", "made", "Made.", case.program, case.vocab, 9, sampler=never_a), n_pairs=1_000
    )
    assert found.detected_edges == 0
    assert found.undetected["m0->logits"].startswith("the same in every pair: ")
    few = Case("made", "made", "Made.", case.program, case.vocab, 2, sampler=never_a)
    assert measure_difficulty(few).detected_edges == 3  # on all pairs, not only the sampled


def test_shape_of_a_circuit() -> None:
    graph = Graph(n_layers=2, n_heads=1)
    chain = circuit_from_edges(graph, ["embed->m0", "embed->m1", "m0->m1", "m1->logits"])
    attention = ["embed->a0.h0<v>", "a0.h0->m1", "m1->logits"]
    assert longest_path(chain) == 3
    assert is_degenerate(chain)
    assert not is_degenerate(circuit_from_edges(graph, attention))
    assert is_degenerate(circuit_from_edges(graph, attention[:2]))


def test_controls() -> None:
    graph = Graph(n_layers=1, n_heads=1)
    for control in BLIND.values():
        assert control(graph).shape == (graph.n_edges,)
    edge = graph.index
    assert BLIND["depth"](graph)[[edge("embed->m0"), edge("m0->logits")]].tolist() == [-0.5, 1.5]
    assert BLIND["shortness"](graph)[edge("embed->logits")] == -2.0
    assert BLIND["from_embed"](graph).sum() == 5
    histogram = load_case("histogram").compile().circuit
    assert control_aurocs(histogram) == {
        "random": 0.5,
        "depth": 0.375,
        "shortness": 0.875,
        "from_embed": 0.5,
    }
    assert set(control_aurocs(circuit_from_edges(graph, [])).values()) == {None}


def test_the_structural_suite_is_what_is_not_degenerate() -> None:
    structural = list_cases("structural")
    assert 40 < len(structural) < 80
    assert {"histogram", "balanced_parentheses"} <= set(structural)
    assert not {"identity", "reverse"} & set(structural)
    assert list_cases("structural", family="elementwise") == []


def test_table_and_file(tmp_path: Path) -> None:
    table = difficulty_table(map(load_difficulty, ["histogram", "reverse"]))
    assert table["case"].tolist() == ["histogram", "reverse"]
    assert table["auroc_shortness"].tolist() == [
        0.875,
        load_difficulty("reverse").auroc["shortness"],
    ]
    assert table["degenerate"].tolist() == [False, True]
    assert table["undetected"].tolist() == [2, 13]
    path = tmp_path / "difficulty.json"
    write_difficulties([load_difficulty("reverse"), load_difficulty("histogram")], path)
    first, *_ = json.loads(path.read_text()).items()
    assert {"case": first[0], **first[1]} == asdict(load_difficulty("histogram"))
    assert len(path.read_text().splitlines()) == 4
    with pytest.raises(ResultError, match="no difficulty of 'new' is stored"):
        load_difficulty("new")
