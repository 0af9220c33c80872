"""The truth at positions against brute force: every set of edges at positions, by hooks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.circuit import Label
from knowncircuits.compiler import Compiled
from knowncircuits.errors import TaskError
from knowncircuits.evaluation.components import one_pair
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.evaluation.truth import position_labels
from knowncircuits.models.certificates.sides import high_answers
from knowncircuits.models.interop.hooked import to_hooked

PAIRS = (
    ("fraction_of_x", "a x b", "x x a"),
    ("fraction_of_x", "x a b", "x a a"),
    ("histogram", "a b", "b b"),
)


def answers(compiled: Compiled, task: Task, mask: torch.Tensor) -> np.ndarray:
    """What the hooked twin says of a task's only pair under masks, numbers to six digits."""
    twin = to_hooked(compiled.model)
    with torch.no_grad():
        outputs = twin.run(task.corrupted).outputs
        logits = twin.run(task.clean.expand(len(mask), -1), outputs, mask).logits
    return np.round(high_answers(compiled, logits).numpy().astype(float), 6)


@pytest.mark.parametrize(("name", "clean", "corrupted"), PAIRS)
def test_all_sets_of_inside_edges_at_positions(name: str, clean: str, corrupted: str) -> None:
    """Nothing is left out here: all edges inside, BOS too, whether anything moves there or not."""
    compiled = kc.load_case(name).compile()
    task, _ = one_pair(compiled, clean.split(), corrupted.split())
    graph, n_pos = task.graph, task.clean.shape[1]
    inside = [graph.index(edge) for edge in compiled.circuit.edges()]
    players = list(itertools.product(inside, range(n_pos)))
    sets = np.arange(2 ** len(players))
    mask = torch.zeros(len(sets), graph.n_edges, n_pos, dtype=torch.float64)
    for i, (edge, pos) in enumerate(players):
        mask[:, edge, pos] = torch.from_numpy(sets >> i & 1)
    said = answers(compiled, task, mask)
    found = position_labels(compiled, task)
    moved = (task.differences[0].abs() > 1e-9).any(-1).numpy()
    for i, (edge, pos) in enumerate(players):
        without = sets[sets >> i & 1 == 0]
        matters = (said[without] != said[without | 1 << i]).any()
        if matters:
            assert found[edge, pos] == Label.IN
        elif moved[graph.source_of_edge[edge], pos]:
            assert found[edge, pos] == Label.OUT
        else:
            assert found[edge, pos] == Label.UNDETERMINED
    outside = np.setdiff1d(np.arange(graph.n_edges), inside)
    assert not (found[outside] == Label.IN).any()
    assert found[outside].max() == Label.OUT


def test_what_is_out_changes_nothing_beside_drawn_sets() -> None:
    """Of a gate, two pairs: edges outside the circuit, and inside ones where they are out."""
    compiled = kc.load_case("gate_or_2").compile()
    task = make_task(compiled, 2, 1)
    found = position_labels(compiled, task)
    assert (found == position_labels(compiled, task, seed=5)).all()
    rng = np.random.default_rng(0)
    never = torch.from_numpy(found != Label.IN)
    for pair in torch.arange(2).split(1):
        draws = torch.from_numpy(rng.random((200, *found.shape)) < rng.random((200, 1, 1)))
        others = torch.from_numpy(rng.random(draws.shape) < 0.5)
        with_them = torch.where(never, others, draws)
        said = [
            answers(compiled, task.of_pairs(pair), mask.double()) for mask in (draws, with_them)
        ]
        assert np.array_equal(*said)


def test_a_letter_matters_where_it_is() -> None:
    """One head looks for `a`, the other for `b`; each key is read at the letter's place."""
    compiled = kc.load_case("gate_or_2").compile()
    task, _ = one_pair(compiled, [*"abdddd"], [*"dddddd"])
    found = position_labels(compiled, task)
    graph = task.graph

    def places(edge: str) -> list[int]:
        return np.flatnonzero(found[graph.index(edge)] == Label.IN).tolist()

    assert places("embed->m0") == [1, 2]
    keys = [places(f"m0->a1.h{head}<k>") for head in (0, 1)]
    assert sorted(keys) == [[1], [2]]
    assert places("m1->logits") == [1, 2, 3, 4, 5, 6]
    assert (found[graph.index("m1->logits"), 0], found[graph.index("embed->m0"), 3]) == (-1, -1)


def test_trying_all_sets_says_what_draws_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws only spare work; without them every set of every cone is tried, if these are small."""
    compiled = kc.load_case("gate_or_2").compile()
    task = make_task(compiled, 2, 1, direction="on-off")
    found = position_labels(compiled, task)
    monkeypatch.setattr("knowncircuits.evaluation.truth.positions.DRAWS", 0)
    assert np.array_equal(position_labels(compiled, task), found)
    with pytest.raises(TaskError, match="at most 3 edges at positions .* got 7 in gate_or_2"):
        position_labels(compiled, task, max_players=3)


def test_other_tasks_are_refused() -> None:
    compiled = kc.load_case("gate_or_2").compile()
    task = make_task(compiled, 2, 1)
    with pytest.raises(TaskError, match=r"resample ablation, got one of gate_or_2.* and mean"):
        position_labels(compiled, replace(task, ablation="mean"))
    with pytest.raises(TaskError, match="expected a task of histogram"):
        position_labels(kc.load_case("histogram").compile(), task)
