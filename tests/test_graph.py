"""The graph's order and names, circuits, their projections and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.cases import load_case
from knowncircuits.circuit import Circuit, Label, circuit_from_edges, projection
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import GraphError, ResultError
from knowncircuits.evaluation.faithfulness.construction import prune
from knowncircuits.evaluation.figures.drawing import circuit_figure, circuit_text, save_circuit
from knowncircuits.exchange import (
    MAX_EDGES,
    GraphFile,
    graph_file,
    read_graph_file,
    write_graph_file,
)
from knowncircuits.files.reading import MAX_BYTES, MAX_VALUES
from knowncircuits.graph import Graph

graphs = st.builds(
    lambda layers, groups, size, **options: Graph(
        layers, groups * size, kv_heads=groups, **options
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    mlp=st.booleans(),
    inputs=st.sampled_from([("embed", "pos"), ("embed",), ("input",)]),
    parallel=st.booleans(),
)


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    graph = draw(graphs)
    labels = draw(
        st.lists(st.sampled_from([-1, 0, 1]), min_size=graph.n_edges, max_size=graph.n_edges)
    )
    carried = draw(st.lists(st.sampled_from(graph.edges), max_size=4))
    return Circuit(graph, np.array(labels, dtype=np.int8), dict.fromkeys(carried, ("x", "y")))


@given(graphs)
def test_edges_lead_from_earlier_to_later_in_one_order(graph: Graph) -> None:
    assert len(set(graph.edges)) == graph.n_edges == len(graph.edges)
    assert graph.blocks[-1].stop == graph.n_edges
    for i, edge in enumerate(graph.edges):
        source, _, destination = edge.partition("->")
        assert graph.edge(i) == edge
        source_depth, target_depth = map(graph.depth, graph.edge(i).ends)
        assert source_depth < target_depth
        assert graph.sources[graph.source_of_edge[i]] == source
        assert graph.destinations[graph.destination_of_edge[i]] == destination
        assert graph.nodes[graph.target_of_edge[i]] == graph.edge(i).target
        fed = [graph.nodes[target] for edge, target in zip(*graph.feeds, strict=True) if edge == i]
        assert fed == [*graph.edge(i).targets]
        if "-" in destination:
            assert len(fed) == graph.group_size > 1
        else:
            assert fed == [destination.partition("<")[0]]
        assert all(
            graph.input_of(node, graph.edge(i).destination.letter) == destination for node in fed
        )
        assert graph.index(edge) == i
    sources, layers = len(graph.inputs), graph.n_layers
    per_layer = graph.n_heads + graph.mlp
    wanted = sources + layers * per_layer  # into logits
    for layer in range(layers):
        seen = sources + layer * per_layer
        wanted += (graph.n_heads + 2 * (graph.kv_heads or graph.n_heads)) * seen
        wanted += graph.mlp * (seen if graph.parallel else seen + graph.n_heads)
    assert graph.n_edges == wanted


@given(graphs, st.data())
def test_patching_a_node_is_patching_its_edges(graph: Graph, data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(graph.sources))
    edges = {graph.edges[i] for i in graph.edges_from(source)}
    assert edges == {edge for edge in graph.edges if edge.startswith(f"{source}->")}


def test_vectors_by_name() -> None:
    graph = Graph(1, 1)
    values = {edge: float(i) for i, edge in enumerate(graph.edges)}
    assert graph.vector(values).tolist() == list(range(graph.n_edges))
    with pytest.raises(GraphError, match="1 unknown edges for 1 layer.*: m7->logits"):
        graph.vector({**values, "m7->logits": 1.0})
    with pytest.raises(GraphError, match="1 missing edges.*embed->m0"):
        graph.vector({edge: v for edge, v in values.items() if edge != "embed->m0"})


@pytest.mark.parametrize(
    "build",
    [
        lambda: Graph(0, 1),
        lambda: Graph(1, 0),
        lambda: Graph(1, 1, inputs=("tokens",)),
        lambda: Graph(1, 4, kv_heads=3),
        lambda: Graph(1, 4, kv_heads=0),
        lambda: Graph(1, 1).index("m1->logits"),
        lambda: Graph(1, 1).edges_from("logits"),
        lambda: Circuit(Graph(1, 1), np.zeros(3, dtype=np.int8)),
        lambda: Circuit(Graph(1, 1), np.full(13, 7, dtype=np.int8)),
        lambda: circuit_from_edges(Graph(1, 1), ["a->b"]),
    ],
)
def test_errors_say_what_was_expected(build: object) -> None:
    with pytest.raises(GraphError, match=r"expected|unknown"):
        build()  # type: ignore[operator]


def test_projections() -> None:
    graph = Graph(1, 2)
    circuit = circuit_from_edges(
        graph,
        ["embed->a0.h1<k>", "a0.h1->m0", "m0->logits"],
        ["pos->a0.h1<q>", "pos->logits"],
    )
    heads = circuit.project("head")
    assert heads["embed->a0.h1"] == Label.IN
    assert heads["pos->a0.h1"] == Label.UNDETERMINED
    assert heads["embed->a0.h0"] == Label.OUT
    assert len(heads) == 2 * 2 + 4 + 5
    nodes = circuit.project("node")
    assert nodes == {
        "embed": Label.IN,
        "pos": Label.UNDETERMINED,
        "a0.h0": Label.OUT,
        "a0.h1": Label.IN,
        "m0": Label.IN,
    }
    scores = np.arange(graph.n_edges, dtype=np.float64)
    view = projection(graph, "node")
    for name, score in zip(view.names, view.scores(scores), strict=True):
        assert score == scores[graph.edges_from(name)].max()
    assert circuit.project("edge") == dict(
        zip(graph.edges, map(Label, circuit.labels), strict=True)
    )


def test_groups_of_heads() -> None:
    """A key that two heads share is one edge, which feeds both."""
    graph = Graph(1, 4, inputs=("embed",), kv_heads=2, parallel=True)
    assert graph.edges == (
        *(f"embed->a0.h{head}<q>" for head in range(4)),
        *("embed->a0.h0-1<k>", "embed->a0.h2-3<k>", "embed->a0.h0-1<v>", "embed->a0.h2-3<v>"),
        "embed->m0",
        *(f"{source}->logits" for source in ("embed", "a0.h0", "a0.h1", "a0.h2", "a0.h3", "m0")),
    )
    circuit = circuit_from_edges(graph, ["embed->a0.h2-3<k>", "a0.h3->logits"])
    assert circuit.inside_nodes == ("embed", "a0.h2", "a0.h3", "logits")
    heads = circuit.project("head")
    assert [name for name, label in heads.items() if label] == ["embed->a0.h2-3", "a0.h3->logits"]
    assert len(heads) == 2 + 1 + 6
    assert prune(graph, circuit.labels == Label.IN).sum() == 2
    only_second = np.array([node == "a0.h3" for node in graph.nodes])
    assert [*np.array(graph.edges)[graph.feeding(only_second)]] == [
        "embed->a0.h3<q>",
        "embed->a0.h2-3<k>",
        "embed->a0.h2-3<v>",
    ]
    assert graph.summary() == "1 layer, 4 heads in 2 groups, parallel MLPs, 15 edges"
    assert Graph(1, 4, kv_heads=4) == Graph(1, 4)


@pytest.mark.usefixtures("no_shape_checks")
def test_unknown_granularity() -> None:
    with pytest.raises(GraphError, match="granularity 'edge', 'head' or 'node', got 'layer'"):
        projection(Graph(1, 1), "layer")  # type: ignore[arg-type]


def test_merging_the_inputs() -> None:
    circuit = load_case("zero_duplicates").compile().circuit
    merged = circuit.merge_inputs()
    assert merged.graph.inputs == ("input",)
    assert merged.label("input->m3") == Label.IN  # tokens
    assert merged.label("input->m0") == Label.UNDETERMINED  # positions, and the constant 1
    assert merged.label("input->logits") == Label.OUT
    assert merged.carries["input->m0"] == ("one", "indices")
    assert merged.merge_inputs() is merged


@given(circuits())
def test_merging_goes_edge_by_edge(circuit: Circuit) -> None:
    merged, ours = circuit.merge_inputs(), set(circuit.graph.edges)
    for edge, label in zip(merged.graph.edges, merged.labels, strict=True):
        names = [edge, *(edge.replace("input", name) for name in ("embed", "pos"))]
        found = [name for name in dict.fromkeys(names) if name in ours]
        first, carried = circuit.label(found[0]), [circuit.carries.get(n, ()) for n in found]
        unsure = first == Label.OUT and any(carried[1:])
        assert label == (Label.UNDETERMINED if unsure else first)
        assert merged.carries.get(edge, ()) == tuple(v for part in carried for v in part)
    if merged is not circuit:  # one that is merged already is given back as it is
        assert [*merged.carries] == [e for e in merged.graph.edges if e in merged.carries]


def test_merging_the_inputs_of_rotary_positions() -> None:
    high = load_case("trend").compile().circuit
    circuit = Correspondence.same_names(high, Graph(2, 4, inputs=("embed",))).circuit
    merged = circuit.merge_inputs()
    assert merged.graph.edges == tuple(e.replace("embed", "input") for e in circuit.graph.edges)
    assert (merged.labels == circuit.labels).all()
    assert list(merged.carries.values()) == list(circuit.carries.values())


@given(circuits())
def test_files_lose_nothing(tmp_path_factory: pytest.TempPathFactory, circuit: Circuit) -> None:
    path = tmp_path_factory.mktemp("files") / "circuit.json"
    scores = np.random.default_rng(0).normal(size=circuit.graph.n_edges)
    write_graph_file(graph_file(circuit.graph, circuit=circuit, scores=scores, d_model=8), path)
    file = read_graph_file(path)
    assert file.circuit() == circuit
    assert np.array_equal(file.scores, scores)
    assert np.array_equal(file.in_graph, circuit.labels == Label.IN)
    again = path.with_name("again.json")
    write_graph_file(file, again)
    assert again.read_text() == path.read_text()


def eap_ig_document() -> dict[str, object]:
    """What EAP-IG's Graph.to_json writes, node scores and neurons included."""
    graph = Graph(1, 1, inputs=("input",))
    return {
        "cfg": {"n_layers": 1, "n_heads": 1, "parallel_attn_mlp": False, "d_model": 2},
        "nodes": {
            name: {"in_graph": True, "score": 0.5, "neurons": [True, False]} for name in graph.nodes
        },
        # their order of edges is another one
        "edges": {
            edge: {"score": i / 7, "in_graph": i % 2 == 0}
            for i, edge in enumerate(reversed(graph.edges))
        },
    }


def test_files_of_eap_ig(tmp_path: Path) -> None:
    document = eap_ig_document()
    path = tmp_path / "eap.json"
    path.write_text(json.dumps(document))
    file = read_graph_file(path)
    assert file.graph == Graph(1, 1, inputs=("input",))
    assert file.circuit().label("m0->logits") == Label.IN
    assert file.scores[-1] == 0.0
    write_graph_file(file, path)
    assert json.loads(path.read_text()) == document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("cfg"), "missing cfg"),
        (lambda d: d["cfg"].update(n_layers="2"), "cfg.n_layers"),
        (lambda d: d["cfg"].update(n_layers=2), "missing edges"),
        (lambda d: d["cfg"].update(parallel_attn_mlp=True), "1 unknown edges.*: a0.h0->m0"),
        (
            lambda d: d["cfg"].update(parallel_attn_mlp="no"),
            "parallel_attn_mlp to be true or false",
        ),
        (lambda d: d["cfg"].update(n_key_value_heads=3), "key and value heads that divide 1 heads"),
        (lambda d: d["edges"]["m0->logits"].update(score="high"), "finite score for m0->logits"),
        (lambda d: d["edges"]["m0->logits"].update(score=float("nan")), "finite score"),
        (lambda d: d["edges"]["m0->logits"].update(label="maybe"), "in, out or undetermined"),
        (lambda d: d["edges"].update({"m9->logits": {"score": 1}}), "unknown edges.*m9->logits"),
        (lambda d: d.update(edges=[]), "objects"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, change: object, message: str) -> None:
    document = eap_ig_document()
    change(document)  # type: ignore[operator]
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document))
    with pytest.raises((ResultError, GraphError), match=message):
        read_graph_file(path)


def test_files_that_are_no_json(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for text in ("{", '{"cfg": {}, "cfg": {}}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ResultError, match="expected a JSON file"):
            read_graph_file(path)
    with pytest.raises(ResultError, match="No such file"):
        read_graph_file(tmp_path / "missing.json")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = graph_file(Graph(1, 1))
    stands_in_the_way = tmp_path / "file"
    stands_in_the_way.write_text("kept")
    with pytest.raises(ResultError, match="cannot write"):
        write_graph_file(file, stands_in_the_way / "circuit.json")
    bad = GraphFile(file.graph, {**file.document, "score": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        write_graph_file(bad, tmp_path / "circuit.json")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_is_written_can_be_read() -> None:
    """The most edges, with the longest names, numbers and labels, are within a reader's bounds."""
    graph = Graph(1, 2)
    labels = np.full(graph.n_edges, Label.UNDETERMINED, dtype=np.int8)
    scores = np.full(graph.n_edges, -1.2345678901234567e-300)
    file = graph_file(graph, circuit=Circuit(graph, labels), scores=scores)
    entry = next(iter(file.document["edges"].values()))
    text = json.dumps({"a1023.h1023->a1023.h1023<q>": entry}).strip("{}") + "}, {"
    assert len(text) * MAX_EDGES < MAX_BYTES
    assert sum(map(text.count, ",[{")) * MAX_EDGES < MAX_VALUES


def test_what_could_not_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Graph(24, 48)
    assert large.n_edges > MAX_EDGES
    with pytest.raises(GraphError, match=f"{MAX_EDGES} edges in a file, got {large.n_edges}"):
        graph_file(large, scores=np.zeros(1))
    file = graph_file(Graph(1, 1))
    monkeypatch.setattr("knowncircuits.files.reading.MAX_VALUES", 20)
    with pytest.raises(ResultError, match="that can be read again, got more than 20 values"):
        write_graph_file(file, tmp_path / "graph.json")
    assert not list(tmp_path.iterdir())


def test_text_names_edges_and_what_they_carry() -> None:
    text = circuit_text(load_case("fraction_of_x").compile().circuit)
    assert "m0\n  <- embed  tokens\n" in text
    assert "  <? pos    indices" in text
    assert "32 edges: 3 in (<-), 18 undetermined" in text


def test_figures(tmp_path: Path) -> None:
    circuit = load_case("unique_tokens_first").compile().circuit
    figure = circuit_figure(circuit, title="a title")
    names = "".join(str(trace.hovertemplate) for trace in figure.data)
    assert all(edge in names for edge in circuit.edges())
    save_circuit(circuit, tmp_path / "circuit.html", title="a title")
    page = (tmp_path / "circuit.html").read_text()
    assert "a title" in page
    assert '<script src="http' not in page  # nothing is fetched
    save_circuit(circuit, tmp_path / "circuit.json", d_model=66)
    assert read_graph_file(tmp_path / "circuit.json").circuit() == circuit
    with pytest.raises(ResultError, match=r"ending in \.json"):
        save_circuit(circuit, tmp_path / "circuit.gif")
