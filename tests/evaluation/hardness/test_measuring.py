"""What is measured of a model, against the same by other code: hooks, and edges one by one."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from knowncircuits.circuit import Label, circuit_from_edges
from knowncircuits.evaluation.hardness.gap import ROUNDING, effect_gap
from knowncircuits.evaluation.hardness.measuring import Hardness, hardness
from knowncircuits.evaluation.hardness.nodes import edge_reads, living, node_spreads
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.trained import Trained
from knowncircuits.models.zoo.shelf import load_model
from knowncircuits.names import Edge
from strategies import random_task

PAIRS = 8


@pytest.fixture(scope="module", params=[("fraction_of_x", "seed0"), ("type_boundary", "shuffled")])
def trained(request: pytest.FixtureRequest) -> Trained:
    return load_model(*request.param, zoo=1)


@pytest.fixture(scope="module")
def measured(trained: Trained) -> Hardness:
    return hardness(trained, n_pairs=PAIRS)


def by_hooks(trained: Trained) -> tuple[Task, np.ndarray]:
    """A task, and the effect of each edge on it, one after another on the hooked twin."""
    task = make_task(trained, PAIRS)
    twin = to_hooked(deepcopy(trained.model).double())
    with torch.no_grad():
        clean, corrupted = twin.run(task.clean), twin.run(task.corrupted)
        effects = []
        for mask in torch.eye(twin.graph.n_edges, dtype=torch.float64):
            logits = twin.run(task.clean, corrupted.outputs, mask[None]).logits
            if task.metric == "kl":
                probabilities = clean.logits.softmax(-1)
                distance = torch.nn.functional.kl_div(
                    logits.log_softmax(-1), probabilities, reduction="none"
                ).sum(-1)
            else:
                distance = ((logits - clean.logits) ** 2).sum(-1)
            rows = zip(distance, task.counts, strict=True)
            effects.append(np.mean([row[counts].mean().item() for row, counts in rows]))
    return task, np.array(effects)


def test_the_gap_is_that_by_hooks(trained: Trained, measured: Hardness) -> None:
    _, effects = by_hooks(trained)
    labels = trained.circuit.labels
    inside, outside = effects[labels == Label.IN].min(), effects[labels == Label.OUT].max()
    assert measured.smallest_inside == pytest.approx(inside)
    assert measured.largest_outside == pytest.approx(outside)
    assert measured.gap == pytest.approx(inside / outside)
    assert measured.gap > 1


def test_living_nodes_and_edges_one_by_one(trained: Trained, measured: Hardness) -> None:
    task, circuit = make_task(trained, PAIRS), trained.circuit
    spreads = {}
    for i, node in enumerate(circuit.graph.sources):
        written = task.clean_run.outputs[:, i, 1:].double().flatten(0, 1).numpy()
        spreads[str(node)] = float(np.cov(written.T, bias=True).trace() ** 0.5)
    ends = {str(node) for edge in circuit.edges() for node in edge.ends}
    carrying = {str(node) for edge in circuit.carries for node in Edge(edge).ends}
    parts = [n for n in spreads if n not in ("embed", "pos")]
    inside = [spreads[n] for n in parts if n in ends]
    outside = [n for n in parts if n not in ends | carrying]
    alive = [n for n in outside if spreads[n] >= np.median(inside) / 2]
    assert measured.spread_inside == pytest.approx(np.median(inside), rel=1e-4)
    assert measured.outside_nodes == len(outside)
    assert measured.spread_outside == pytest.approx(
        np.median([spreads[n] for n in outside]), rel=1e-4
    )
    assert list(measured.alive) == alive
    between = [{*e.ends} <= {*ends, *alive} for e in circuit.edges(Label.OUT)]
    assert measured.living_edges == pytest.approx(np.mean(between))
    assert set(measured.read) <= set(alive)


def test_a_node_that_writes_half_as_much_is_alive() -> None:
    """A random model, of which one head is called the circuit."""
    task = random_task()
    circuit = circuit_from_edges(task.graph, ["embed->a0.h0<v>", "a0.h0->logits"])
    nodes = living(task, circuit)
    assert nodes.inside == ("a0.h0",)
    assert nodes.outside == ("a0.h1", "m0", "a1.h0", "a1.h1", "m1")
    spreads = node_spreads(task.clean_run.outputs)
    enough = [n for n, s in zip(task.graph.sources, spreads, strict=True) if s >= spreads[2] / 2]
    assert nodes.alive == tuple(n for n in enough if n in nodes.outside)


def test_reads_are_what_the_primitive_gives() -> None:
    task = random_task()
    graph = task.graph
    chosen = np.zeros(graph.n_edges, dtype=bool)
    edges = ["embed->a0.h1<k>", "m0->a1.h0<q>", "a0.h1->a1.h0<v>", "a1.h0->m1"]
    chosen[[graph.index(edge) for edge in edges]] = True
    reads = edge_reads(task, chosen)
    assert not reads[~chosen].any()
    for edge in map(Edge, edges):
        mask = torch.zeros(1, graph.n_edges, dtype=torch.float64)
        mask[0, graph.index(edge)] = 1
        patched = task.model.run(task.clean, task.alternative, mask).outputs
        place = graph.sources.index(edge.target)
        change = (patched - task.clean_run.outputs)[:, place, 1:]
        spread = node_spreads(task.clean_run.outputs)[place]
        expected = change.square().sum(-1).mean().sqrt().item() / spread
        assert reads[graph.index(edge)] == pytest.approx(expected)


def test_the_middle_and_circuits_of_one_kind() -> None:
    task = random_task()
    circuit = circuit_from_edges(task.graph, [])
    varies = np.array([True, False, *[True] * (len(task.graph.sources) - 2)])
    effects = np.zeros(task.graph.n_edges)
    effects[:4] = (1.0, 0.05, -0.05, 1e-5)  # the second is of `pos`, which does not vary
    gap = effect_gap(circuit, effects, varies)
    assert (gap.smallest_inside, gap.largest_outside, gap.ratio) == (None, 1.0, None)
    inside = circuit_from_edges(task.graph, [task.graph.edges[0]])
    assert effect_gap(inside, effects, varies).ratio == pytest.approx(1 / 0.05)
    effects[1:] *= 1e-300
    assert effect_gap(inside, effects, varies).ratio == pytest.approx(1 / ROUNDING)
    assert effect_gap(inside, 0 * effects, varies).ratio is None
    assert gap.middle == pytest.approx(1 / varies[task.graph.source_of_edge].sum())


def test_measurements_are_the_same_again(trained: Trained, measured: Hardness) -> None:
    assert hardness(trained.placed, n_pairs=PAIRS).to_dict() == measured.to_dict()
    assert hardness(trained, 1, n_pairs=PAIRS).to_dict() != measured.to_dict()
