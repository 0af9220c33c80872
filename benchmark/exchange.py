"""Circuits and scores as JSON files that EAP-IG (Hanna et al., 2024) and MIB write and read.

    {"cfg": {"n_layers": 2, ...},
     "nodes": {"m0": {"in_graph": true}, ...},
     "edges": {"m0->logits": {"score": 0.1, "in_graph": true}, ...}}

In a file of nodes the scores stand beside `in_graph` of the nodes, and those of edges are 0. A file
of circuits may have no scores at all. `exchange_tensors.py` reads the same out of `.pt` files.

What we add, `label`, `carries` and `score_by_position` of an edge, `role` of a node,
`n_key_value_heads` of cfg where heads share keys, and fields beside these three (`sets`, what edges
do together; `positions`, what those are called), their readers pass over; what others add is kept
as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from knowncircuits.checks.arguments import expect, takes
from knowncircuits.circuit import Circuit, Label, of_input
from knowncircuits.errors import GraphError, ResultError
from knowncircuits.exchange_tensors import read_tensors
from knowncircuits.files.reading import check_size, read_json
from knowncircuits.files.writing import write_text
from knowncircuits.graph import Graph, check_edge_vector, check_position_scores
from knowncircuits.sets import parse_sets

Level = Literal["edge", "node"]
# The most edges of a graph in a file; GPT-2 small has 32,000. With the longest names, scores and
# labels these are as many bytes as a reader takes, `reading.MAX_BYTES`.
MAX_EDGES = 2**20
KV_HEADS = "n_key_value_heads"  # in cfg, where heads share keys; in their files none do
BY_POSITION = "score_by_position"  # of an edge
MAX_NAMED = 1_000  # missing edges that are worth listing


@dataclass(frozen=True, eq=False)
class GraphFile:
    """A graph with, for each edge, a score and whether it is in, and the document around them."""

    graph: Graph
    document: Mapping[str, Any] = field(repr=False)

    @property
    def level(self) -> Level:
        """What the file is about: `node` if nodes have scores, or are in, and no edge has or is."""
        edges = self.document["edges"].values()
        if any(entry.get("score") or entry.get("in_graph") for entry in edges):
            return "edge"
        nodes = [self._node(node) for node in self.graph.sources]
        return "node" if any("score" in n or n.get("in_graph") for n in nodes) else "edge"

    @property
    def scores(self) -> np.ndarray:
        """The edges' scores in the graph's order; NaN where the file has none.

        In a file of nodes an edge has the score of its source, since with a node all edges out of
        it are in (Mueller et al., 2025, MIB). In one of a circuit without scores, an edge has 1 if
        it is in, and 0 if it is not.
        """
        entries = [self._edge(edge) for edge in self.graph.edges]
        if self.level == "node":
            entries = [self._node(node) for node in self.graph.sources]
        if not any("score" in entry for entry in entries):
            values = np.array([float(bool(entry.get("in_graph"))) for entry in entries])
        else:
            values = np.array([entry.get("score", np.nan) for entry in entries], dtype=float)
        of_edges: np.ndarray = values[self.graph.source_of_edge] if self.level == "node" else values
        return of_edges

    @property
    def by_position(self) -> np.ndarray | None:
        """The edges' scores at each position, [edge, pos]; None where the file has none."""
        rows = [self._edge(edge).get(BY_POSITION) for edge in self.graph.edges]
        return None if None in rows else np.array(rows, dtype=float)

    @property
    def positions(self) -> tuple[str, ...]:
        """What positions are called, such as tokens; empty where the file does not say."""
        return () if self.by_position is None else tuple(self.document.get("positions", ()))

    @property
    def in_graph(self) -> np.ndarray:
        """Whether each edge is in the file's circuit; in a file of nodes, whether its source is."""
        if self.level == "node":
            nodes = [bool(self._node(node).get("in_graph")) for node in self.graph.sources]
            of_source: np.ndarray = np.array(nodes)[self.graph.source_of_edge]
            return of_source
        return np.array([bool(self._edge(edge).get("in_graph")) for edge in self.graph.edges])

    def circuit(self) -> Circuit:
        """The labels; files that are not ours have none, there `in_graph` says in or out."""
        entries = [self._edge(edge) for edge in self.graph.edges]
        labels = [
            Label[e["label"].upper()] if "label" in e else Label(int(is_in))
            for e, is_in in zip(entries, self.in_graph, strict=True)
        ]
        carries = {
            edge: tuple(entry["carries"])
            for edge, entry in zip(self.graph.edges, entries, strict=True)
            if "carries" in entry
        }
        sets = self.document.get("sets")
        parsed = None if sets is None else parse_sets(sets, self.graph.edge_index, "the file")
        nodes = self.document["nodes"]  # of others maybe only whether each is in
        roles = {
            str(node): entry["role"]
            for node in self.graph.nodes
            if isinstance(entry := nodes.get(node), dict) and "role" in entry
        }
        return Circuit(self.graph, np.array(labels, dtype=np.int8), carries, parsed, roles)

    def merge_inputs(self) -> GraphFile:
        """The file with one node `input` for `embed` and `pos`, as EAP-IG and MIB read it.

        The scores are those of `merge_scores`, the labels those of `Circuit.merge_inputs`.
        """
        if self.graph.inputs == ("input",):
            return self
        labelled = all("label" in entry for entry in self.document["edges"].values())
        circuit = self.circuit() if labelled or self.in_graph.any() else None
        ours = ("cfg", "nodes", "edges", "sets")
        rest = {name: value for name, value in self.document.items() if name not in ours}
        rank_by, by_position = self.document.get("rank_by"), self.by_position
        if by_position is not None:
            columns = [merge_scores(self.graph, column, rank_by) for column in by_position.T]
            by_position = np.stack(columns, 1)
        return graph_file(
            self.graph.merge_inputs(),
            circuit=circuit and circuit.merge_inputs(),
            scores=merge_scores(self.graph, self.scores, rank_by),
            by_position=by_position,
            d_model=self.document["cfg"].get("d_model", 0),
            **rest,
        )

    def _node(self, name: str) -> Mapping[str, Any]:
        entry = self.document["nodes"].get(name, {})
        return entry if isinstance(entry, dict) else {"in_graph": entry}

    def _edge(self, name: str) -> Mapping[str, Any]:
        entry: Mapping[str, Any] = self.document["edges"][name]
        return entry


def graph_file(
    graph: Graph,
    *,
    circuit: Circuit | None = None,
    scores: np.ndarray | None = None,
    by_position: np.ndarray | None = None,
    d_model: int = 0,
    **fields: Any,
) -> GraphFile:
    """A new file of a circuit, of scores, or of both, with more fields beside the three.

    Without scores an edge's score is 1 where it is in and 0 elsewhere.

    Raises GraphError for scores that are not one finite number for each edge, or at each position,
    and for a graph that no reader would take.
    """
    if graph.n_edges > MAX_EDGES:
        raise GraphError(f"expected at most {MAX_EDGES} edges in a file, got {graph.n_edges}")
    labels = None if circuit is None else circuit.labels
    if scores is not None:
        scores = check_edge_vector(graph, scores, "scores")
    if by_position is not None:
        by_position = check_position_scores(graph, by_position, "scores at positions")
    edges: dict[str, dict[str, Any]] = {}
    members = () if circuit is None else circuit.inside_nodes
    for i, edge in enumerate(graph.edges):
        is_in = labels is not None and labels[i] == Label.IN
        entry: dict[str, Any] = {
            "score": float(is_in) if scores is None else float(scores[i]),
            "in_graph": bool(is_in),
        }
        if by_position is not None:
            entry[BY_POSITION] = by_position[i].tolist()
        if circuit is not None:
            entry["label"] = Label(int(circuit.labels[i])).name.lower()
            if edge in circuit.carries:
                entry["carries"] = list(circuit.carries[edge])
        edges[edge] = entry
    cfg = {
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "parallel_attn_mlp": graph.parallel,
        "d_model": d_model,
    }
    if graph.kv_heads is not None:
        cfg[KV_HEADS] = graph.kv_heads
    nodes: dict[str, dict[str, Any]] = {node: {"in_graph": node in members} for node in graph.nodes}
    if circuit is not None:
        for node, role in circuit.roles.items():
            nodes[node]["role"] = role
        if circuit.sets is not None:
            fields["sets"] = circuit.sets.to_dict()
    return GraphFile(graph, {"cfg": cfg, "nodes": nodes, "edges": edges, **fields})


def merge_scores(graph: Graph, values: np.ndarray, rank_by: str | None = "absolute") -> np.ndarray:
    """Scores of the graph whose inputs are merged: an edge out of `input` has the larger of two.

    Larger is as scores rank: in absolute value, or if `rank_by` is `signed` as they are.
    """
    if graph.inputs == ("input",):
        return values
    found: dict[str, float] = {}
    rank = (lambda score: score) if rank_by == "signed" else abs
    for edge, score in zip(graph.edges, values.tolist(), strict=True):
        name = of_input(edge)
        found[name] = max(found.get(name, score), score, key=rank)
    return np.array([found[edge] for edge in graph.merge_inputs().edges])


@takes(path=str | Path)
def read_graph_file(path: str | Path) -> GraphFile:
    """Read a file of ours, of EAP-IG's or of MIB's, `.json` or `.pt`.

    From a `.pt` file only tensors, numbers and text are read (`weights_only`).

    Raises:
        ResultError: if it cannot be read or is no such file.
        GraphError: if its edges are not those of the graph that its sizes describe.
    """
    if Path(path).suffix == ".pt":
        return parse_graph(read_tensors(Path(path)), str(path))
    return parse_graph(read_json(path, "a JSON file of a graph"), str(path))


def parse_graph(document: Any, path: str) -> GraphFile:
    """A parsed file; `path` is what messages call it. Raises as `read_graph_file`."""
    missing = {"cfg", "nodes", "edges"} - set(document if isinstance(document, dict) else ())
    if missing:
        raise ResultError(
            f"{path}: expected cfg, nodes and edges, missing {', '.join(sorted(missing))}"
        )
    cfg, nodes, edges = document["cfg"], document["nodes"], document["edges"]
    if not all(isinstance(part, dict) for part in (cfg, nodes, edges)) or not all(
        isinstance(entry, dict) for entry in edges.values()
    ):
        raise ResultError(f"{path}: expected cfg, nodes and edges to be objects of objects")
    parallel = cfg.get("parallel_attn_mlp", False)
    if type(parallel) is not bool:
        raise ResultError(
            f"{path}: expected cfg.parallel_attn_mlp to be true or false, got {_short(parallel)}"
        )
    for key in ("n_layers", "n_heads", *((KV_HEADS,) if KV_HEADS in cfg else ())):
        size = cfg.get(key)
        if type(size) is not int or not 1 <= size <= MAX_EDGES:
            raise ResultError(
                f"{path}: expected cfg.{key} to be a whole number, 1 to {MAX_EDGES}, got "
                f"{_short(size)}"
            )
    inputs = ("input",) if "input" in nodes else ("embed", "pos") if "pos" in nodes else ("embed",)
    sizes = cfg["n_layers"], cfg["n_heads"], "m0" in nodes, inputs
    try:
        graph = Graph(*sizes, kv_heads=cfg.get(KV_HEADS), parallel=parallel)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None
    _check_edges(graph, edges, path)
    for node, entry in nodes.items():
        _check_role(node, entry, path)
        _check_score(node, entry if isinstance(entry, dict) else {}, path)
    for edge, entry in edges.items():
        _check_entry(edge, entry, path)
    _check_positions(document, path)
    if "sets" in document:
        parse_sets(document["sets"], edges, path)
    return GraphFile(graph, document)


def _check_edges(graph: Graph, edges: Mapping[str, Any], path: str) -> None:
    """Raise GraphError unless these are the graph's edges; none is named before sizes fit."""
    n_edges = graph.n_edges
    if n_edges > MAX_EDGES or abs(n_edges - len(edges)) > MAX_NAMED:
        raise GraphError(
            f"{path}: expected the edges of {graph.n_layers} layers and {graph.n_heads} heads, "
            f"{n_edges} and at most {MAX_EDGES}, got {len(edges)}"
        )
    try:
        graph.vector(dict.fromkeys(edges, 0.0))
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None


def _check_entry(edge: str, entry: Mapping[str, Any], path: str) -> None:
    """Raise ResultError for an edge's score, label or variables that are none."""
    carries, label = entry.get("carries", []), entry.get("label", "in")
    _check_score(edge, entry, path)
    if not isinstance(label, str) or label.upper() not in Label.__members__:
        raise ResultError(f"{path}: expected in, out or undetermined, got {_short(label)}")
    if not isinstance(carries, list) or not all(isinstance(name, str) for name in carries):
        raise ResultError(f"{path}: expected names of variables for {edge}, got {_short(carries)}")


def _check_score(name: str, entry: Mapping[str, Any], path: str) -> None:
    """Raise ResultError for an edge's or a node's score that is no finite number."""
    score = entry.get("score", 0.0)
    if not isinstance(score, (int, float)) or not abs(score) <= sys.float_info.max:
        raise ResultError(f"{path}: expected a finite score for {name}, got {_short(score)}")


def _check_positions(document: Mapping[str, Any], path: str) -> None:
    """Raise ResultError unless all edges have as many finite scores at positions, or none has."""
    rows = [entry.get(BY_POSITION) for entry in document["edges"].values()]
    lengths = {len(row) if isinstance(row, list) else None for row in rows}
    if all(row is None for row in rows):
        return
    if len(lengths) > 1 or not all(lengths):
        raise ResultError(f"{path}: expected scores at as many positions for every edge")
    for edge, row in zip(document["edges"], rows, strict=True):
        for score in row or ():
            if not isinstance(score, (int, float)) or not abs(score) <= sys.float_info.max:
                raise ResultError(
                    f"{path}: expected finite scores at positions for {edge}, got {_short(score)}"
                )
    names, n = document.get("positions", []), len(row or ())
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ResultError(f"{path}: expected positions as names, got {_short(names)}")
    if names and len(names) != n:
        raise ResultError(f"{path}: expected names of {n} positions, got {len(names)}")


def _check_role(node: str, entry: Any, path: str) -> None:
    """Raise ResultError for a node's role that is no word."""
    role = entry.get("role", "") if isinstance(entry, dict) else ""
    if not isinstance(role, str):
        raise ResultError(
            f"{path}: expected the role of {_short(node)} in words, got {_short(role)}"
        )


def _short(value: Any) -> str:
    """A stranger's value in a message; the digits of a whole number may be too many to print."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@runtime_checkable
class ScoresOfEdges(Protocol):
    """Scores as methods give them."""

    @property
    def graph(self) -> Graph:
        """The graph whose edges are scored."""
        ...

    @property
    def values(self) -> np.ndarray:
        """One for each edge, with signs."""
        ...

    @property
    def rank_by(self) -> str:
        """How they rank."""
        ...


def as_graph_file(file: GraphFile | Circuit | ScoresOfEdges) -> GraphFile:
    """A file as it is, or a new one of a circuit or of scores."""
    if isinstance(file, Circuit):
        file = graph_file(file.graph, circuit=file)
    elif isinstance(file, ScoresOfEdges):
        file = graph_file(file.graph, scores=file.values, rank_by=file.rank_by)
    expect(file, GraphFile | Circuit, "file")
    assert isinstance(file, GraphFile)
    return file


def write_graph_file(
    file: GraphFile | Circuit | ScoresOfEdges, path: str | Path, *, merged: bool = False
) -> None:
    """Write a file, or one of a circuit or of scores, whole or not at all.

    Args:
        file: what to write.
        path: where to.
        merged: with one node `input` for `embed` and `pos`, as EAP-IG and MIB read it.

    Raises ResultError if that fails, and for what `read_graph_file` would find too large.
    """
    file = as_graph_file(file)
    if merged:
        file = file.merge_inputs()
    text = json.dumps(file.document, allow_nan=False) + "\n"
    try:
        check_size(text.encode())
    except ValueError as error:
        raise ResultError(f"{path}: expected a file that can be read again, got {error}") from error
    write_text(path, text)
