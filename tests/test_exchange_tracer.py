"""Graphs for circuit-tracer's page; `tests/clients` reads them with its own models."""

import json
from pathlib import Path
from typing import Any

import pytest

import knowncircuits as kc
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.scoring import Scores
from knowncircuits.graph import Graph


def names(document: dict[str, Any]) -> dict[str, str]:
    return {node["node_id"]: node["clerp"] for node in document["nodes"]}


def test_links_are_the_largest_scores_between_nodes(tmp_path: Path) -> None:
    graph = Graph(1, 2)
    scores = dict.fromkeys(graph.edges, 0.0) | {
        "embed->a0.h1<q>": 0.25,
        "embed->a0.h1<v>": -0.5,
        "a0.h1->m0": 2.0,
        "m0->logits": 1.0,
    }
    kc.write_tracer_graph(Scores(graph, graph.vector(scores), "mine"), tmp_path / "g.json")
    document = json.loads((tmp_path / "g.json").read_text())
    named = names(document)
    links = [(named[x["source"]], named[x["target"]], x["weight"]) for x in document["links"]]
    assert links == [
        ("a0.h1", "m0", 2.0),
        ("m0", "logits (p=1)", 1.0),
        ("embed", "a0.h1", -0.5),
    ]
    assert document["qParams"]["pinnedIds"] == []
    rows = {node["clerp"]: node["layer"] for node in document["nodes"]}
    assert [rows[n] for n in ("embed", "pos", "a0.h0", "m0", "logits (p=1)")] == [*"EE012"]


def test_a_circuit_is_pinned_and_graphs_are_listed(tmp_path: Path) -> None:
    circuit = kc.load_model("histogram").circuit
    for name in ("other", "histogram", "histogram"):
        kc.write_tracer_graph(circuit, tmp_path / f"{name}.json")
    document = json.loads((tmp_path / "histogram.json").read_text())
    named = names(document)
    assert {named[pinned].split()[0] for pinned in document["qParams"]["pinnedIds"]} == {
        *circuit.inside_nodes
    }
    listed = json.loads((tmp_path / "graph-metadata.json").read_text())["graphs"]
    assert [graph["slug"] for graph in listed] == ["other", "histogram"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("graph.txt", {}, r"ends in \.json"),
        ("graph-metadata.json", {}, "is no graph-metadata.json"),
        ("graph.json", {"top": 0}, "expected top to be at least 1, got 0"),
    ],
)
def test_what_is_refused(name: str, options: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=message):
        kc.write_tracer_graph(kc.load_model("histogram").circuit, tmp_path / name, **options)
