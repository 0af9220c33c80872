"""Names of nodes and edges: strings to everybody, and to those who ask, their parts."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.circuit import circuit_from_edges
from knowncircuits.errors import GraphError
from knowncircuits.graph import Graph
from knowncircuits.names import Destination, Edge, Node, edge_names

graphs = st.builds(
    Graph,
    st.integers(1, 12),
    st.integers(1, 12),
    mlp=st.booleans(),
    inputs=st.sampled_from([("embed", "pos"), ("embed",), ("input",)]),
)


@given(graphs)
def test_nodes_of_their_parts_are_the_graphs(graph: Graph) -> None:
    made = {
        "head": lambda node: Node.of_head(node.layer, node.head),
        "mlp": lambda node: Node.of_mlp(node.layer),
    }
    for node in graph.nodes:
        assert Node(str(node)) == made.get(node.kind, lambda node: Node(node.kind))(node) == node
    kinds = [node.kind for node in graph.nodes]
    assert kinds.count("head") == graph.n_layers * graph.n_heads
    assert kinds.count("mlp") == graph.n_layers * graph.mlp
    depths = [node.depth for node in graph.nodes]
    assert depths == sorted(depths)
    assert {node.layer for node in graph.nodes[:-1]} == {-1, *range(graph.n_layers)}


@given(graphs, st.data())
def test_edges_of_their_parts_are_the_graphs(graph: Graph, data: st.DataObject) -> None:
    for destination in graph.destinations:
        assert Destination.of(destination.node, destination.letter) == destination
        assert bool(destination.letter) == (destination.node.kind == "head")
    i = data.draw(st.integers(0, graph.n_edges - 1))
    edge = Edge(graph.edges[i])
    assert type(edge.source) is type(edge.target) is Node
    assert type(edge.destination) is Destination
    assert Edge.between(edge.source, edge.destination) == edge == graph.edge(i)
    assert edge.ends == (graph.sources[graph.source_of_edge[i]], edge.destination.node)
    assert edge_names([edge.source], edge.destination) == [edge]
    assert edge.placed({node: node for node in edge.ends}) == edge


def test_the_edges_of_a_circuit_have_parts() -> None:
    circuit = circuit_from_edges(Graph(2, 3), ["m0->a1.h2<v>", "embed->m0"])
    first, last = circuit.edges()
    assert (first.source.kind, first.target.kind) == ("embed", "mlp")
    assert (last.source.layer, last.target.head, last.destination.letter) == (0, 2, "v")


def test_an_edge_between_places_feeds_the_same_letter() -> None:
    places = {"m0": "m2", "a1.h2": "a3.h0", "logits": "logits"}
    assert Edge("m0->a1.h2<k>").placed(places) == "m2->a3.h0<k>"
    assert Edge("a1.h2->logits").placed(places) == "a3.h0->logits"


@pytest.mark.parametrize(
    "wrong",
    ["", "m", "mm", "m-1", "m01", "a1", "a1.h", "a.h2", "a1.h2<v>", "A1.h2", "m0 ", "m٣", "m0\n"],
)
def test_what_is_no_node_is_refused(wrong: str) -> None:
    for build in (Node, lambda name: Edge(f"{name}->logits")):
        with pytest.raises(GraphError) as error:
            build(wrong)
        assert str(error.value).startswith(f"expected a{'n edge' * (build is not Node)}")
        assert repr(wrong)[1:-1] in str(error.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Node("m0<q>"), "expected a node like 'a1.h2', got 'm0<q>'"),
        (lambda: Node.of_head(-1, 0), "expected a node like 'a1.h2', got 'a-1.h0'"),
        (lambda: Node("logits").layer, "expected a node in a layer or an input, got logits"),
        (lambda: Node("m0").head, "expected a head, got m0"),
        (lambda: Destination("m0<q>"), "expected a destination like 'a1.h2<v>', got 'm0<q>'"),
        (lambda: Destination("a1.h2<w>"), "expected a destination like .* got 'a1.h2<w>'"),
        (lambda: Destination.of(Node("m0"), "q"), "expected a destination like .* got 'm0<q>'"),
        (lambda: Edge("m0"), "expected an edge like 'm0->a1.h2<v>', got 'm0'"),
        (lambda: Edge("m0->"), "expected an edge like 'm0->a1.h2<v>', got 'm0->'"),
        (lambda: Edge("a0.h0<q>->m0"), "expected an edge like .* got 'a0.h0<q>->m0'"),
        (lambda: Edge("m0->m1->m2"), "expected an edge like .* got 'm0->m1->m2'"),
    ],
)
def test_errors_say_what_was_expected(build: Callable[[], object], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        build()


@pytest.mark.parametrize("name", [Node("a1.h2"), Destination("a1.h2<v>"), Edge("m0->a1.h2<v>")])
def test_names_are_strings_to_everybody(name: Node | Destination | Edge) -> None:
    plain = str(name)
    assert type(plain) is str
    assert name == plain
    assert hash(name) == hash(plain)
    assert {plain: 1}[name] == {name: 1}[plain] == 1
    assert f"{name} {name!r}" == f"{plain} {plain!r}"
    assert json.dumps({name: [name]}) == json.dumps({plain: [plain]})
    assert np.array([name]).dtype == np.array([plain]).dtype
    pd.testing.assert_frame_equal(pd.DataFrame({"node": [name]}), pd.DataFrame({"node": [plain]}))
    for again in (pickle.loads(pickle.dumps(name)), copy.copy(name), copy.deepcopy(name)):
        assert again == name
        assert type(again) is type(name)
    with pytest.raises(AttributeError):
        name.layer = 3  # type: ignore[misc, union-attr]


def test_a_large_graph_lists_its_edges_as_plain_strings() -> None:
    """A name each and no more; as objects with parts they would take several times that."""
    graph = Graph(12, 12)
    tracemalloc.start()
    edges = graph.edges
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {type(edge) for edge in edges} == {str}
    assert size < 90 * graph.n_edges
