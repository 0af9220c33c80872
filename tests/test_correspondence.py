"""Placements: injective, forwards, and with the compiled circuit's labels."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.cases import CASES, load_case
from knowncircuits.circuit import Circuit, Label
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import GraphError
from knowncircuits.graph import Graph

# One case for each shape of circuit: elementwise ones are all alike.
SHAPES = [case.name for case in CASES.values() if case.family != "elementwise"]


@cache
def circuit_of(name: str) -> Circuit:
    return load_case(name).compile().circuit


@given(st.sampled_from(SHAPES), st.integers(0, 99), st.integers(0, 2))
def test_shuffled_placements(name: str, seed: int, extra_layers: int) -> None:
    high = circuit_of(name)
    low = Graph(high.graph.n_layers + extra_layers, 4)
    placed = Correspondence.shuffled(high, low, seed)
    places = list(placed.nodes.values())
    assert len(set(places)) == len(places)
    assert all(high[0] == low[0] for high, low in placed.nodes.items())
    # Every edge that carries something has one image, with the same label and variables.
    images = placed.image[placed.image >= 0]
    assert sorted(images) == sorted(high.graph.index(edge) for edge in high.carries)
    assert Counter(placed.circuit.carries.values()) == Counter(high.carries.values())
    assert placed.circuit.edges() == tuple(low.edges[i] for i in placed.inside.nonzero()[0])
    assert len(placed.circuit.edges()) == len(high.edges())
    assert placed.nodes == Correspondence.shuffled(high, low, seed).nodes


def test_placements_differ_between_seeds() -> None:
    high = circuit_of("histogram")
    heads = {Correspondence.shuffled(high, Graph(2, 4), seed).nodes["a0.h0"] for seed in range(50)}
    assert len(heads) == 8


def test_same_names() -> None:
    high = circuit_of("fraction_of_x")
    circuit = Correspondence.same_names(high, Graph(2, 4)).circuit
    assert circuit.edges() == ("embed->m0", "m0->a1.h0<v>", "a1.h0->logits")
    assert circuit.label("pos->a0.h3<q>") == Label.UNDETERMINED
    assert circuit.label("a1.h3->logits") == Label.OUT
    assert circuit.carries["m0->a1.h0<v>"] == ("is_x",)


ROTARY = Graph(2, 4, inputs=("embed",))


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_rotary_positions_have_no_place(seed: int | None) -> None:
    """Heads have them without an edge: all other edges are placed as ever."""
    high = circuit_of("equals_token_two_back")
    carried = [edge for edge in high.carrying_edges if edge.source != "pos"]
    assert len(carried) < len(high.carrying_edges)
    if seed is None:
        placed = Correspondence.same_names(high, ROTARY)
    else:
        placed = Correspondence.shuffled(high, ROTARY, seed)
    assert "pos" not in placed.nodes
    assert sorted(placed.image[placed.image >= 0]) == sorted(map(high.graph.index, carried))
    assert len(placed.circuit.edges()) == len(high.edges())
    undetermined = (placed.circuit.labels == Label.UNDETERMINED).sum()
    assert undetermined == sum(high.label(edge) == Label.UNDETERMINED for edge in carried)


def test_rotary_positions_reach_queries_and_keys_alone() -> None:
    high = circuit_of("zero_even_positions")
    with pytest.raises(GraphError, match=r"pos->m0, which rotary positions cannot carry"):
        Correspondence.same_names(high, ROTARY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a1.h0": "a7.h0"}, "a1.h0 to a7.h0, which is not in 2 layers"),
        ({"a1.h0": "m1"}, "of another kind"),
        ({"a1.h0": "a0.h0"}, r"m0->a1\.h0<v> backwards, from m0 to a0\.h0"),
        ({"m0": None}, "no place for m0"),
    ],
)
def test_impossible_placements(change: dict[str, str | None], message: str) -> None:
    high = circuit_of("fraction_of_x")
    nodes: dict[str, str | None] = {node: node for node in high.carrying_nodes} | change
    with pytest.raises(GraphError, match=message):
        Correspondence(high, Graph(2, 4), {k: v for k, v in nodes.items() if v is not None})


def test_two_nodes_at_one_place() -> None:
    high = circuit_of("oscillation")
    nodes = {node: node for node in high.carrying_nodes} | {"a0.h1": "a0.h0"}
    with pytest.raises(GraphError, match="several nodes to a0.h0"):
        Correspondence(high, Graph(2, 4), nodes)


def test_no_room() -> None:
    high = circuit_of("balanced_parentheses")
    with pytest.raises(GraphError, match="expected room for embed, pos, a0.h0"):
        Correspondence.shuffled(high, Graph(4, 4), 0)
