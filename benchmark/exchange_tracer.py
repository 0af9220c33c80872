"""Circuits and scores as the attribution graphs that circuit-tracer's page shows.

circuit-tracer (Hanna et al., 2025) draws nodes in rows by their layer, and links by their weight:

    {"metadata": {"slug": "histogram", "prompt_tokens": [...], ...},
     "qParams": {"pinnedIds": ["2_2_2"], ...},
     "nodes": [{"node_id": "2_2_2", "layer": "2", "clerp": "a1.h2", ...}, ...],
     "links": [{"source": "E_0_0", "target": "2_2_2", "weight": 0.3}, ...]}

Its nodes are features of transcoders at positions, one column each. Ours are heads and MLPs at all
positions at once: each input of the graph has a column, and all else stands in the last one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from knowncircuits.circuit import Circuit
from knowncircuits.errors import ResultError
from knowncircuits.exchange import GraphFile, ScoresOfEdges, as_graph_file
from knowncircuits.files.reading import read_json
from knowncircuits.files.writing import write_text
from knowncircuits.graph import Graph
from knowncircuits.names import Edge, Node

LISTED = "graph-metadata.json"  # beside the graphs: what the page offers
SCAN = "knowncircuits"  # in place of the name of transcoders


def write_tracer_graph(
    file: GraphFile | Circuit | ScoresOfEdges, path: str | Path, *, top: int | None = None
) -> None:
    """Write a graph that circuit-tracer's page shows, and list it in the folder's graphs.

    A link leads from node to node. Of a head's `q`, `k` and `v` the score that is largest in
    absolute value counts; links of 0 are left out. Nodes of the circuit are pinned, where there is
    one. Rows are the heads of layer 0, its MLP, the heads of layer 1, and so on.

    Args:
        file: a circuit, scores, or a file of either.
        path: of the graph, `histogram.json` say; its page is then `?slug=histogram`.
        top: how many links to write, those of the largest weight; by default all.

    Raises:
        ResultError: for a `top` below 1, another ending, a list of graphs that is none, or if
            writing fails.
    """
    path = Path(path)
    if path.suffix != ".json" or path.name == LISTED:
        raise ResultError(f"expected a file that ends in .json and is no {LISTED}, got {path}")
    document = tracer_graph(as_graph_file(file), path.stem, top)
    listed = path.parent / LISTED
    found = read_json(listed) if listed.exists() else {"graphs": []}
    if not isinstance(found, dict) or not isinstance(found.get("graphs"), list):
        raise ResultError(f"{listed}: expected an object with a list of graphs, got another")
    others = [graph for graph in found["graphs"] if graph.get("slug") != path.stem]
    write_text(path, json.dumps(document, allow_nan=False) + "\n")
    write_text(listed, json.dumps({"graphs": [*others, document["metadata"]]}, indent=1) + "\n")


def tracer_graph(file: GraphFile, name: str, top: int | None = None) -> dict[str, Any]:
    """The document; see `write_tracer_graph`."""
    if top is not None and top < 1:
        raise ResultError(f"expected top to be at least 1, got {top}")
    graph = file.graph
    weights: dict[tuple[Node, Node], float] = {}
    for edge, score in zip(map(Edge, graph.edges), file.scores.tolist(), strict=True):
        for target in edge.targets:
            ends = edge.source, target
            weights[ends] = max(weights.get(ends, 0.0), score, key=abs)
    links = [(ends, weight) for ends, weight in weights.items() if weight]
    links = sorted(links, key=lambda link: -abs(link[1]))[:top]
    members = file.circuit().inside_nodes if file.in_graph.any() else ()
    return {
        "metadata": {
            "slug": name,
            "scan": SCAN,
            "transcoder_list": [],
            "prompt_tokens": [*graph.inputs, "all positions"],
            "prompt": f"{name}: {graph.summary()}",
            "node_threshold": None,
            "schema_version": 1,
        },
        "qParams": {
            "pinnedIds": [
                _place(graph, node)["node_id"] for node in graph.nodes if node in members
            ],
            "supernodes": [],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": [_place(graph, node) for node in graph.nodes],
        "links": [
            {
                "source": _place(graph, source)["node_id"],
                "target": _place(graph, target)["node_id"],
                "weight": weight,
            }
            for (source, target), weight in links
        ],
    }


def _place(graph: Graph, node: Node) -> dict[str, Any]:
    """Where a node is drawn, and how."""
    column, feature, text = len(graph.inputs), 0, str(node)
    if node in graph.inputs:
        layer, kind = "E", "embedding"
        column = feature = graph.inputs.index(node)
    elif node.kind == "logits":
        layer, kind = str(2 * graph.n_layers), "logit"
        text = f"{node} (p=1)"  # where a token has its probability, which the page looks for
    else:
        layer, kind = str(int(2 * node.depth)), "cross layer transcoder"
        feature = node.head if node.kind == "head" else 0
    return {
        "node_id": f"{layer}_{feature}_{column}",
        "jsNodeId": f"{layer}_{feature}-{column}",
        "feature": feature,
        "layer": layer,
        "ctx_idx": column,
        "feature_type": kind,
        "clerp": text,
        "influence": None,
        "activation": None,
        "token_prob": float(kind == "logit"),
        "is_target_logit": kind == "logit",
        "run_idx": 0,
        "reverse_ctx_idx": 0,
    }
