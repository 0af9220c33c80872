"""Scores of single pairs, and the truth on each, against enumeration through hooks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

import knowncircuits as kc
from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import GraphError, ResultError, TaskError
from knowncircuits.evaluation.methods import Method, discover_by_pair
from knowncircuits.evaluation.scoring import Scores, score_pairs
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.evaluation.truth import pair_circuits
from knowncircuits.models.interop.hooked import to_hooked
from strategies import random_task


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(kc.load_case("gate_or_2").compile(), 6, seed=1)


@pytest.fixture(scope="module")
def circuits(task: Task) -> list[Circuit]:
    return pair_circuits(kc.load_case("gate_or_2").compile(), task)


def test_edges_matter_on_a_pair_where_some_set_says_so(task: Task, circuits: list[Circuit]) -> None:
    """All sets of the circuit's edges, pair by pair, through hooks."""
    whole = kc.load_case("gate_or_2").compile().circuit
    places = [whole.graph.index(edge) for edge in whole.edges()]
    n = len(places)
    sets = torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)
    mask = torch.zeros(len(sets), whole.graph.n_edges, dtype=torch.float64)
    mask[:, places] = sets
    twin = to_hooked(task.model)
    counts = []
    for pair, circuit in enumerate(circuits):
        with torch.no_grad():
            outputs = twin.run(task.corrupted[pair : pair + 1]).outputs
            logits = twin.run(task.clean[pair].expand(len(sets), -1), outputs, mask).logits
        answers = logits[:, task.counts[pair]].argmax(-1)
        matters = []
        for i, edge in enumerate(whole.edges()):
            without = torch.nonzero(sets[:, i] == 0).flatten()
            with_it = without + 2 ** (n - 1 - i)  # the last bit changes first
            if (answers[without] != answers[with_it]).any():
                matters.append(edge)
        assert list(circuit.edges()) == matters
        counts.append(len(matters))
    assert len(set(counts)) > 2  # none, one flag's, both
    for circuit in circuits:
        unknown = whole.labels == Label.UNDETERMINED
        assert (circuit.labels[unknown] == Label.UNDETERMINED).all()


def test_each_pair_is_scored_by_its_own_truth(task: Task, circuits: list[Circuit]) -> None:
    together = kc.discover("exact", task)
    apart = discover_by_pair("exact", task)
    assert np.allclose(apart.by_pair.mean(0), together.values, atol=1e-12)
    assert np.allclose(apart.values, np.abs(apart.by_pair).mean(0), atol=1e-12)
    assert apart.forward_passes == together.forward_passes
    for scores in (together, apart):
        table = score_pairs(scores, circuits)
        for pair, circuit in enumerate(circuits):
            values = scores.values if scores.by_pair is None else scores.by_pair[pair]
            known = circuit.labels != Label.UNDETERMINED
            truth = circuit.labels[known] == Label.IN
            ranks = Scores(task.graph, values, "exact").ranks()[known]
            found = table["average_precision"][pair]
            if truth.any():
                assert found == pytest.approx(average_precision_score(truth, ranks))
            else:
                assert np.isnan(found)
    assert table["n_true"].tolist() == [len(circuit.edges()) for circuit in circuits]


def test_a_method_may_return_scores_of_each_pair() -> None:
    task = random_task(n_pairs=4)
    drawn = np.random.default_rng(0).normal(size=(4, task.graph.n_edges))
    for returned in (drawn, torch.from_numpy(drawn)):
        found = kc.discover(lambda _, returned=returned: returned, task)
        assert np.allclose(found.values, drawn.mean(0), atol=1e-15)
        assert np.array_equal(found.by_pair, drawn)
    assert kc.discover("eap", task).by_pair is None
    signed = discover_by_pair(
        Method(
            lambda t: t.differences.sum((1, 2, 3))[:, None].expand(t.n_pairs, t.graph.n_edges),
            rank_by="signed",
        ),
        task,
    )
    assert np.allclose(signed.by_pair[:, 0], task.differences.sum((1, 2, 3)).numpy())
    assert np.allclose(signed.values, signed.by_pair.mean(0))
    drawn[2, 5] = np.nan
    with pytest.raises(GraphError, match="got NaN or infinity"):
        kc.discover(lambda _: drawn, task)
    with pytest.raises(GraphError, match="shape"):
        kc.discover(lambda _: drawn[:3], task)


@pytest.mark.usefixtures("no_shape_checks")
def test_what_has_no_truth_on_pairs_is_refused(task: Task, circuits: list[Circuit]) -> None:
    compiled = kc.load_case("histogram").compile()
    with pytest.raises(TaskError, match="a case that names a property of its inputs"):
        pair_circuits(compiled, make_task(compiled, 2))
    apart = discover_by_pair("eap", task)
    with pytest.raises(ResultError, match="a circuit for each of 6 pairs, got 2"):
        score_pairs(apart, circuits[:2])
    with pytest.raises(GraphError, match="scores of exact on pair 0 of shape"):
        replace(kc.discover("exact", task), by_pair=np.zeros((1, 3)))
