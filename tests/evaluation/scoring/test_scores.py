"""Scoring against counts of pairs, with ties."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits import rasp
from knowncircuits.circuit import Circuit, circuit_from_edges
from knowncircuits.compiler import Compiled, compile_program
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.scoring.curves import score_curve
from knowncircuits.evaluation.scoring.scores import Scores, score, score_views
from knowncircuits.evaluation.scoring.views import VIEWS
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.graph import Graph
from knowncircuits.rasp.vocabulary import Vocabulary
from programs import GATE_LETTERS, either_flag, majority_of_flags

GRAPH = Graph(1, 1)
vectors = st.lists(st.integers(-3, 3), min_size=GRAPH.n_edges, max_size=GRAPH.n_edges)
labels = st.lists(st.sampled_from([-1, 0, 1]), min_size=GRAPH.n_edges, max_size=GRAPH.n_edges)


@given(vectors, labels, st.sampled_from(["absolute", "signed"]))
def test_auroc_counts_pairs_and_ties_half(
    values: list[int], truth: list[int], rank_by: str
) -> None:
    scores = Scores(GRAPH, np.array(values, dtype=np.float64), "test", rank_by)  # type: ignore[arg-type]
    found = score(scores, Circuit(GRAPH, np.array(truth, dtype=np.int8)))
    ranking = [abs(v) if rank_by == "absolute" else v for v in values]
    ins = [v for v, t in zip(ranking, truth, strict=True) if t == 1]
    outs = [v for v, t in zip(ranking, truth, strict=True) if t == 0]
    assert (found.n_true, found.n_determined) == (len(ins), len(ins) + len(outs))
    if not ins or not outs:
        assert found.auroc is None
        assert found.average_precision is None
        assert found.precision_at_size is None
        return
    wins = sum((a > b) + (a == b) / 2 for a in ins for b in outs)
    assert found.auroc == pytest.approx(wins / (len(ins) * len(outs)))
    steps = sorted(set(ranking), reverse=True)
    above = [(sum(v >= s for v in ins), sum(v >= s for v in outs)) for s in steps]
    recalls = [0.0, *(i / len(ins) for i, _ in above)]
    precision = [i / (i + o) if i + o else 0.0 for i, o in above]
    area = sum((b - a) * p for a, b, p in zip(recalls, recalls[1:], precision, strict=False))
    assert found.average_precision == pytest.approx(area)


@given(vectors, labels, st.integers(-3, 3))
def test_a_methods_own_circuit(values: list[int], truth: list[int], threshold: int) -> None:
    scores = Scores(GRAPH, np.array(values, dtype=np.float64), "test", "signed", threshold)
    found = score(scores, Circuit(GRAPH, np.array(truth, dtype=np.int8))).chosen
    assert found is not None
    chosen = {i for i, v in enumerate(values) if v > threshold and truth[i] >= 0}
    true = {i for i, label in enumerate(truth) if label == 1}
    hits = len(chosen & true)
    precision = hits / len(chosen) if chosen else None
    recall = hits / len(true) if true else None
    assert (found.n_chosen, found.precision, found.recall) == (len(chosen), precision, recall)
    if precision and recall:
        assert found.f1 == pytest.approx(2 / (1 / precision + 1 / recall))
    else:
        assert found.f1 == (0.0 if chosen or true else None)


def test_views_of_scores() -> None:
    """The head's q, k and v are one: the highest counts."""
    edges = ("embed->a0.h0<k>", "a0.h0->m0", "m0->logits")
    circuit = circuit_from_edges(GRAPH, edges, [e for e in GRAPH.edges if e.startswith("pos")])
    numbers = dict.fromkeys(GRAPH.edges, 0.0) | {"embed->a0.h0<q>": 3.0, "a0.h0->m0": -2.0}
    found = score_views(Scores(GRAPH, GRAPH.vector(numbers), "test"), circuit)
    assert list(found) == ["edge", "no-embed", "circuit-nodes", "head", "node"]
    assert [view.n_true for view in found.values()] == [3, 2, 3, 3, 3]
    assert [view.n_items for view in found.values()] == [13, 8, 8, 9, 4]
    assert found["head"].auroc == pytest.approx((2 * 3 + 1.5) / (3 * 3))
    assert found["edge"].auroc == pytest.approx((2 + 4 + 2) / 15)
    assert found["node"].auroc is None  # nothing determined is out


def compiled_gate(output: rasp.SOp, dtype: torch.dtype = torch.float64) -> Compiled:
    return compile_program(output, Vocabulary(GATE_LETTERS, max_len=6), causal=False, dtype=dtype)


def on_off_task(compiled: Compiled, letters: str) -> Task:
    """Clean inputs that have all of the letters, corrupted ones that have none of them."""
    rng = random.Random(0)
    others = [letter for letter in GATE_LETTERS if letter not in letters]
    clean, corrupted = [], []
    for _ in range(60):
        word = [*letters, *rng.choices(GATE_LETTERS, k=6 - len(letters))]
        clean.append(rng.sample(word, k=6))
        corrupted.append(rng.choices(others, k=6))
    ids = compiled.encode(clean), compiled.encode(corrupted)
    counts = torch.ones_like(ids[0], dtype=torch.bool)
    counts[:, 0] = False
    return Task("gate", compiled.model, *ids, counts)


def test_an_or_that_eap_found_by_rounding() -> None:
    """Of an OR's seven edges `eap` sees three; of the others what rounding gave them ranked."""
    compiled = compiled_gate(either_flag())
    scores = discover("eap", make_task(compiled, 60))
    exactly = score(scores, compiled.circuit, resolution=0)
    assert (exactly.auroc, exactly.average_precision) == (1.0, 1.0)
    found = score(scores, compiled.circuit)
    assert found.resolution == 1e-6
    assert found.auroc == pytest.approx(0.714, abs=5e-4)
    assert found.average_precision == pytest.approx(0.48, abs=5e-3)


def test_a_majority_whose_heads_were_found_by_rounding() -> None:
    """Where all three flags are on no head matters alone, but in float32 it had 1e-8.

    Beside it stand 0.462, tanh(1/2) nats: a certain answer turned, as the logits 0 and 1 have it.
    """
    compiled = compiled_gate(majority_of_flags(), torch.float32)
    scores = discover("exact", on_off_task(compiled, "abc"))
    assert score(scores, compiled.circuit, resolution=0).auroc == 1.0
    heads = [edge for edge in compiled.circuit.edges() if edge.startswith("a")]
    effects = np.abs([scores.values[scores.graph.index(edge)] for edge in heads])
    assert len(heads) == 3
    assert ((effects > 1e-10) & (effects < 1e-7)).all()
    assert scores.values.max() == pytest.approx(np.tanh(0.5))
    found = score(scores, compiled.circuit)
    assert (found.auroc, found.average_precision) == pytest.approx((0.682, 0.40), abs=5e-3)
    exactly = compiled_gate(majority_of_flags())
    same = discover("exact", on_off_task(exactly, "abc"))
    for resolution in (0, 1e-6):  # in float64 the effects are 0
        area = score(same, exactly.circuit, resolution=resolution).average_precision
        assert area == pytest.approx(0.40, abs=5e-3)


def test_the_resolution_is_that_of_all_that_ranks() -> None:
    """A method's own threshold looks at the scores as they are."""
    values = np.array([2.0, 1e-7, 0, -1e-7, *[0.0] * (GRAPH.n_edges - 4)])
    scores = Scores(GRAPH, values, "test", "signed", threshold=5e-8)
    circuit = circuit_from_edges(GRAPH, GRAPH.edges[:2])
    found = {r: score_views(scores, circuit, resolution=r)["edge"] for r in (0, 1e-6, 1e-8)}
    assert [found[r].auroc for r in found] == [1.0, 0.75, 1.0]
    assert [found[r].resolution for r in found] == [0, 1e-6, 1e-8]
    assert {f.chosen.n_chosen for f in found.values() if f.chosen} == {2}
    assert [edge for edge, _ in scores.top(2)] == list(GRAPH.edges[:2])
    assert scores.top(13)[-1][0] == GRAPH.edges[-1]
    assert scores.top(13, resolution=0)[-1][0] == GRAPH.edges[3]
    assert score_curve(scores, circuit)["threshold"].tolist() == [np.inf, 2.0, -1e-7]
    assert len(score_curve(scores, circuit, resolution=0)) == 5


@pytest.mark.parametrize("view", VIEWS)
def test_memory_grows_as_the_number_of_edges(view: str) -> None:
    """A matrix of items and edges would take 10 GB of bits for 100,000 of them."""
    graph = Graph(26, 21)
    assert graph.n_edges > 100_000
    labels = np.zeros(graph.n_edges, dtype=np.int8)
    labels[::97] = 1
    values = np.random.default_rng(0).normal(size=graph.n_edges)
    scores, circuit = Scores(graph, values, "test"), Circuit(graph, labels)
    _ = graph.edges, graph.source_of_edge, graph.destination_of_edge
    tracemalloc.start()
    found = score(scores, circuit, view)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.n_determined > 500
    assert peak < 400 * graph.n_edges  # bytes
