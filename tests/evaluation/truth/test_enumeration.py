"""Truth under sets against brute force: every set of edges, by hooks and in plain Python."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.compiler import Compiled
from knowncircuits.errors import ResultError, TaskError
from knowncircuits.evaluation.figures.drawing import circuit_figure, circuit_text
from knowncircuits.evaluation.figures.sankey import circuit_sankey
from knowncircuits.evaluation.scoring import Scores, score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.evaluation.truth import known_sets, set_truth
from knowncircuits.evaluation.truth.known import of_trained
from knowncircuits.exchange import graph_file, parse_graph, read_graph_file, write_graph_file
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.sets import SetTruth

N_PAIRS = 4
CASES = (
    *((f"gate_{gate}_2", way) for gate in ("or", "and", "xor") for way in ("on-off", "off-on")),
    ("gate_majority_3", "on-off"),
    ("gate_or_2", "resample"),
    ("copies_2", "on-off"),
    ("backup_2", "on-off"),
    ("fraction_of_x", "resample"),
    ("difference_to_next", "resample"),
)
SetOfEdges = frozenset[str]


@cache
def subject(name: str, pairs: str) -> tuple[Compiled, Task, SetTruth]:
    compiled = kc.load_case(name).compile()
    task = make_task(compiled, N_PAIRS, 3, corruption=pairs)
    return compiled, task, set_truth(compiled, task.clean, task.corrupted, pairs)


@dataclass
class BruteForce:
    """The answers under each set of inside edges, and with all outside edges patched too."""

    edges: tuple[str, ...]
    answers: dict[SetOfEdges, list[Any]]
    with_outside: dict[SetOfEdges, list[Any]]

    @classmethod
    def of(cls, compiled: Compiled, task: Task) -> BruteForce:
        edges = compiled.circuit.edges()
        sets = [
            frozenset(chosen)
            for size in range(len(edges) + 1)
            for chosen in itertools.combinations(edges, size)
        ]
        outside = set(compiled.circuit.graph.edges) - set(edges)
        found = [_answers(compiled, task, sets, more) for more in (set(), outside)]
        return cls(edges, *(dict(zip(sets, answers, strict=True)) for answers in found))

    def minimal(self) -> set[SetOfEdges]:
        """Of all sets that are enough, those of which no proper subset is."""
        clean, everything = self.answers[frozenset()], frozenset(self.edges)
        enough = [s for s in self.answers if self.with_outside[everything - s] == clean]
        return {s for s in enough if not any(other < s for other in enough)}

    def alone(self) -> set[str]:
        clean = self.answers[frozenset()]
        return {e for e in self.edges if self.answers[frozenset([e])] != clean}

    def matters(self) -> set[str]:
        return {
            e for e in self.edges for s, y in self.answers.items() if self.answers[s | {e}] != y
        }


def _answers(
    compiled: Compiled, task: Task, sets: list[SetOfEdges], more: set[str]
) -> list[list[Any]]:
    """For each set the decoded answers to all pairs; numbers to six digits."""
    twin, graph = to_hooked(compiled.model), compiled.circuit.graph
    mask = torch.zeros(len(sets), graph.n_edges, dtype=torch.float64)
    for row, edges in zip(mask, sets, strict=True):
        row[[graph.index(edge) for edge in edges | more]] = 1
    found: list[list[Any]] = [[] for _ in sets]
    for clean, corrupted in zip(task.clean, task.corrupted, strict=True):
        with torch.no_grad():
            outputs = twin.run(corrupted[None]).outputs
            logits = twin.run(clean.expand(len(sets), -1), outputs, mask).logits
        for answers, row in zip(found, compiled.decode(logits), strict=True):
            answers.append([round(x, 6) if isinstance(x, float) else x for x in row])
    return found


def brute_economy(brute: BruteForce, ranking: dict[str, float]) -> float:
    """Thresholds one after another, from the top, until the edges above hold a set."""
    minimal = brute.minimal()
    for threshold in sorted(set(ranking.values()), reverse=True):
        kept = {edge for edge, value in ranking.items() if value >= threshold}
        if any(edges <= kept for edges in minimal):
            return min(map(len, minimal)) / len(kept)
    raise AssertionError("all edges hold no sufficient set")


@pytest.mark.parametrize(("name", "pairs"), CASES)
def test_sets_are_those_of_brute_force(name: str, pairs: str) -> None:
    compiled, task, found = subject(name, pairs)
    brute = BruteForce.of(compiled, task)
    assert {*map(frozenset, found.minimal)} == brute.minimal()
    assert set(found.alone) == brute.alone()
    assert set(found.company) == brute.matters() - brute.alone()
    assert set(found.idle) == set(brute.edges) - brute.matters()
    # Outside edges are no players: with all of them patched too, no answer is another.
    assert brute.with_outside == brute.answers
    circuit = replace(compiled.circuit, sets=found)
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.integers(6, size=circuit.graph.n_edges).astype(float)
        ranking = {
            edge: value
            for edge, value in zip(circuit.graph.edges, values, strict=True)
            if circuit.label(edge) != kc.Label.UNDETERMINED
        }
        economy = score(Scores(circuit.graph, values, "random", "signed"), circuit).economy
        if frozenset() in brute.minimal():
            assert economy is None
        else:
            assert economy == brute_economy(brute, ranking)


@pytest.mark.parametrize(
    ("name", "pairs", "kind", "n_sets"),
    [
        ("gate_or_2", "on-off", "or", 2),
        ("gate_or_2", "off-on", "and", 1),
        ("gate_and_2", "on-off", "and", 1),
        ("gate_and_2", "off-on", "or", 2),
        ("gate_xor_2", "on-off", "xor", 1),
        ("gate_majority_3", "on-off", "majority", 3),
    ],
)
def test_gates_as_the_pairs_play_them(name: str, pairs: str, kind: str, n_sets: int) -> None:
    _, _, found = subject(name, pairs)
    (gate,) = found.gates
    assert (gate.node, gate.kind) == ("m1", kind)
    assert [edge.partition("->")[2] for edge in gate.edges] == ["m1"] * len(gate.edges)
    assert len(found.minimal) == n_sets
    assert len(found.smallest) == min(map(len, found.minimal))


def test_what_adds_up_is_no_gate_of_yes_and_no() -> None:
    """A difference of two numbers: what m2 writes changes by the sum of both."""
    compiled = kc.load_case("open_minus_close_fraction").compile()
    task = make_task(compiled, N_PAIRS)
    gates = {g.kind for g in set_truth(compiled, task.clean, task.corrupted).gates}
    assert gates == {"add"}


def test_too_many_edges_are_refused() -> None:
    compiled, task, _ = subject("gate_or_2", "on-off")
    with pytest.raises(
        TaskError, match="at most 5 edges to enumerate its sets, got 6 in gate_or_2"
    ):
        set_truth(compiled, task.clean, task.corrupted, max_edges=5)


def test_only_tasks_with_a_direction_know_their_sets() -> None:
    compiled, task, found = subject("gate_or_2", "on-off")
    assert known_sets(compiled, task, "on-off").sets == found
    other = kc.load_case("fraction_of_x").compile()
    assert known_sets(other, make_task(other, 4), "resample").sets is None


def test_a_trained_model_has_them_under_its_own_names() -> None:
    trained = kc.load_model("type_boundary", "shuffled", zoo=1)
    task = make_task(trained.compiled, N_PAIRS)
    found = set_truth(trained.compiled, task.clean, task.corrupted)
    own = of_trained(found, trained)
    assert {*own.alone, *own.company, *own.idle} == set(trained.circuit.edges())
    assert own.minimal != found.minimal  # its circuit lies elsewhere
    assert [len(edges) for edges in own.minimal] == [len(edges) for edges in found.minimal]


def test_files_keep_sets(tmp_path: Path) -> None:
    compiled, _, found = subject("gate_majority_3", "on-off")
    circuit = replace(compiled.circuit, sets=found)
    write_graph_file(circuit, tmp_path / "circuit.json")
    read = read_graph_file(tmp_path / "circuit.json").circuit()
    assert read == circuit
    assert read.sets == found
    assert compiled.circuit != circuit
    assert "sets" not in graph_file(circuit.graph, circuit=compiled.circuit).document
    merged = circuit.merge_inputs()
    assert merged.sets is not None
    assert merged.sets.alone == ("input->m0", "m1->logits")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alone": ["m0->m7"]}, "sets of the graph's edges, got 'm0->m7'"),
        ({"minimal": 3}, "truth under sets"),
        ({"gates": [{"node": "m1", "edges": ["m0->m1"], "kind": "nor", "table": "01"}]}, "'nor'"),
        ({"n_pairs": "few"}, "truth under sets"),
    ],
)
def test_other_sets_in_files_are_refused(change: dict[str, Any], message: str) -> None:
    compiled, _, found = subject("gate_or_2", "on-off")
    document = dict(graph_file(compiled.circuit.graph, circuit=compiled.circuit).document)
    with pytest.raises(ResultError, match=message):
        parse_graph({**document, "sets": {**found.to_dict(), **change}}, "here")


def test_sets_are_shown() -> None:
    compiled, _, found = subject("gate_or_2", "on-off")
    circuit = replace(compiled.circuit, sets=found)
    text = circuit_text(circuit)
    assert "<+ a1.h0  has_a" in text
    assert "on 4 on-off pairs: 2 in alone, 4 in company (<+)" in text
    assert "m1: or of a1.h0->m1, a1.h1->m1" in text
    assert text.endswith("  embed->m0, m0->a1.h1<k>, a1.h1->m1, m1->logits")
    dashes = [trace.line.dash for trace in circuit_figure(circuit).data]
    assert dashes.count("dash") == 4
    assert "dash" not in [trace.line.dash for trace in circuit_figure(compiled.circuit).data]


def test_ribbons_in_company_are_dashed() -> None:
    compiled, _, found = subject("gate_or_2", "on-off")
    circuit = replace(compiled.circuit, sets=found)
    figures = [circuit_sankey(shown) for shown in (circuit, compiled.circuit)]
    texts = [figure.to_json() for figure in figures]
    assert [text.count("only with others") for text in texts] == [len(found.company), 0]
