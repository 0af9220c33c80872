"""What a method may return, made into one number for every edge of the task's graph."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from knowncircuits.checks.naming import as_floats, named_values
from knowncircuits.errors import GraphError, ResultError
from knowncircuits.evaluation.choices import RankBy
from knowncircuits.evaluation.methods.nodes import spread
from knowncircuits.exchange import GraphFile, parse_graph, read_graph_file
from knowncircuits.graph import Graph, check_edge_vector
from knowncircuits.names import is_edge


def edge_scores(
    result: object, graph: Graph, name: str, rank_by: RankBy
) -> Float[np.ndarray, " edge"]:
    """Scores in the order of `graph.edges`, of any of the forms that a method may return.

    Args:
        result: a vector in that order (array, tensor or sequence); the names of all edges, or of
            all nodes that write, with numbers, as a dict or a pandas Series or frame (see
            `naming.named_values`); EAP-IG's JSON as a path, a parsed document or a `GraphFile`. An
            `input` in place of `embed` and `pos` stands for both. Scores of nodes are spread over
            their edges, see `nodes.spread`.
        graph: the task's.
        name: what messages call the method.
        rank_by: how the scores rank, which matters for spreading them.

    Raises:
        GraphError: for a wrong length, unknown or missing edges or nodes, NaN and infinity, each
            named.
        ResultError: for anything else, or a file that cannot be read.
    """
    if isinstance(result, (str, os.PathLike)):
        if not os.path.exists(result):
            raise ResultError(f"expected {name} to return scores or a file of them, got {result!r}")
        result = read_graph_file(os.fspath(result))
    elif isinstance(result, Mapping) and {"cfg", "nodes", "edges"} <= set(result):
        result = parse_graph(result, f"the result of {name}")
    if isinstance(result, GraphFile):
        result = dict(zip(result.graph.edges, result.scores, strict=True))
    named = named_values(result, f"scores of {name}")
    if named is not None:
        numbers = {key: _number(value, key, name) for key, value in named.items()}
        if numbers and not any(map(is_edge, numbers)):
            return spread(graph, _node_scores(numbers, graph, name), rank_by)
        vector = graph.vector(_split_inputs(numbers, graph))
    else:
        vector = _vector(result, name)
    return check_edge_vector(graph, vector, f"scores of {name}")


def table_of(result: object, rows: int, columns: int) -> Float[np.ndarray, "row column"] | None:
    """Scores of each pair or at each position, where an array or a tensor of that shape came."""
    if getattr(result, "shape", None) is None or hasattr(result, "columns"):  # no frame of names
        return None
    if tuple(result.shape) != (rows, columns):  # type: ignore[attr-defined]
        return None
    return as_floats(result)


def _node_scores(numbers: Mapping[str, float], graph: Graph, name: str) -> Mapping[str, float]:
    """Checked scores of the graph's nodes; `logits` may be left out."""
    if "input" in numbers and "input" not in graph.sources:
        numbers = {**dict.fromkeys(graph.inputs, numbers["input"]), **numbers}
        del numbers["input"]
    problems: dict[str, list[str]] = {
        "unknown": [node for node in numbers if node not in graph.nodes],
        "missing": [node for node in graph.sources if node not in numbers],
        "NaN or infinite": [node for node, score in numbers.items() if not np.isfinite(score)],
    }
    for kind, nodes in problems.items():
        if nodes:
            shown = ", ".join(nodes[:5]) + (", ..." if len(nodes) > 5 else "")
            raise GraphError(f"scores of {name}: {len(nodes)} {kind} nodes: {shown}")
    return numbers


def _split_inputs(numbers: Mapping[str, float], graph: Graph) -> Mapping[str, float]:
    """Edges out of `input` as edges out of each of the graph's inputs."""
    if "input" in graph.inputs:
        return numbers
    found: dict[str, float] = {}
    for edge, score in numbers.items():
        if edge.startswith("input->"):
            found |= {edge.replace("input", node, 1): score for node in graph.inputs}
        else:
            found[edge] = score
    return found


def _number(value: Any, key: str, name: str) -> float:
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ResultError(f"expected {name} to give {key} a number, got {value!r}") from error


def _vector(result: Any, name: str) -> np.ndarray:
    try:
        return as_floats(result)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ResultError(
            f"expected {name} to return a vector, a dict of numbers or a graph file, "
            f"got {type(result).__name__}"
        ) from error
