"""Views against labels and scores gathered edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import UnknownNameError
from knowncircuits.evaluation.scoring.scores import Scores, score
from knowncircuits.evaluation.scoring.views import VIEWS, view_circuit
from knowncircuits.graph import Graph
from knowncircuits.names import Edge

GRAPHS = (Graph(1, 2), Graph(2, 1, inputs=("input",)), Graph(1, 1, mlp=False))


def item_of(edge: str, view: str, known: set[str]) -> str | None:
    """What an edge is part of; None where the view leaves it out. `known`: the circuit's nodes."""
    source, target = Edge(edge).ends
    if view == "circuit-nodes":
        return edge if {source, target} <= known else None
    if view == "no-embed":
        return None if source in ("embed", "input") else edge
    return {"edge": edge, "head": f"{source}->{target}", "node": source}[view]


@given(st.sampled_from(GRAPHS), st.sampled_from(list(VIEWS)), st.integers(0, 10_000))
def test_items_have_the_label_and_the_rank_of_their_edges(
    graph: Graph, view: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    labels = random.choice([-1, 0, 1], size=graph.n_edges, p=[0.4, 0.5, 0.1]).astype(np.int8)
    ranks = random.normal(size=(2, graph.n_edges))
    inside = (Edge(edge) for edge, label in zip(graph.edges, labels, strict=True) if label == 1)
    known = {str(node) for edge in inside for node in edge.ends}
    edges: dict[str, list[int]] = {}
    for i, edge in enumerate(graph.edges):
        if (item := item_of(edge, view, known)) is not None:
            edges.setdefault(item, []).append(i)
    of_item = {item: set(labels[places].tolist()) for item, places in edges.items()}
    determined = [item for item, found in of_item.items() if 1 in found or -1 not in found]
    seen = view_circuit(Circuit(graph, labels), view)
    assert seen.n_items == len(edges)
    got = sorted(zip(seen.truth.tolist(), *seen.select(ranks).tolist(), strict=True))
    known = {i: [edge for edge in edges[i] if labels[edge] != -1] for i in determined}
    expected = [(1 in of_item[i], *ranks[:, known[i]].max(1).tolist()) for i in determined]
    assert got == sorted(expected)


@given(st.sampled_from(GRAPHS), st.sampled_from(list(VIEWS)), st.integers(0, 10_000))
def test_scores_are_those_of_dense_matrices(graph: Graph, view: str, seed: int) -> None:
    """A row for each item and a column for each edge; then each item against each other one."""
    random = np.random.default_rng(seed)
    labels = random.choice([-1, 0, 1], size=graph.n_edges, p=[0.3, 0.5, 0.2]).astype(np.int8)
    circuit = Circuit(graph, labels)
    scores = Scores(graph, random.integers(-3, 4, graph.n_edges).astype(float), "test")
    known = {str(node) for node in circuit.inside_nodes}
    parts = [item_of(edge, view, known) for edge in graph.edges]
    items = [*dict.fromkeys(part for part in parts if part is not None)]
    rows = [[part == item for part in parts] for item in items]
    members = np.array(rows, dtype=bool).reshape(-1, len(parts))  # none, of a circuit without nodes
    inside, unknown = ((members & (labels == label)).any(1) for label in (1, -1))
    ranks = np.where(members & (labels != -1), scores.ranks(), -np.inf).max(1, initial=-np.inf)
    truth, ranks = inside[inside | ~unknown], ranks[inside | ~unknown]
    found = score(scores, circuit, view)
    assert (found.n_items, found.n_determined, found.n_true) == (
        len(items),
        truth.size,
        truth.sum(),
    )
    if truth.all() or not truth.any():
        assert found.auroc is found.average_precision is found.precision_at_size is None
        return
    beats = np.sign(ranks[truth][:, None] - ranks[~truth]) / 2 + 0.5
    assert found.auroc == pytest.approx(beats.mean())
    as_high = ranks >= ranks[truth][:, None]
    precision = (as_high & truth).sum(1) / as_high.sum(1)
    assert found.average_precision == pytest.approx(precision.mean())


def test_a_view_of_nothing_and_one_that_there_is_not() -> None:
    graph = Graph(1, 1)
    circuit = Circuit(graph, np.full(graph.n_edges, Label.UNDETERMINED, dtype=np.int8))
    seen = view_circuit(circuit)
    assert seen.select(np.zeros((3, graph.n_edges))).shape == (3, 0)
    with pytest.raises(UnknownNameError, match="unknown view 'edges'; did you mean edge"):
        view_circuit(circuit, "edges")
