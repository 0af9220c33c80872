"""EAP-IG's and MIB's graphs as tensors, `.pt` files, made into the document of their JSON files.

    {"cfg": {...}, "src_nodes": ["input", "a0.h0", ...], "dst_nodes": ["a0.h0<q>", ..., "logits"],
     "edges_scores": [source, destination], "edges_in_graph": likewise, "nodes_in_graph": [source],
     "nodes_scores": [source], where nodes have scores}

`Graph.to_pt` of EAP-IG (Hanna et al., 2024) writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knowncircuits.errors import ResultError
from knowncircuits.files.reading import MAX_BYTES
from knowncircuits.names import Destination, Node

NAMES, TENSORS = ("src_nodes", "dst_nodes"), ("edges_scores", "edges_in_graph", "nodes_in_graph")


def read_tensors(path: Path) -> dict[str, Any]:
    """The document of a `.pt` file: `cfg`, `nodes` and `edges`.

    Nothing but tensors, numbers and text is read. A place of the tensors that is no edge, such as
    from a late layer to an early one, is left out; scores of neurons are refused.

    Raises ResultError for what cannot be read or is no such file.
    """
    import torch

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ResultError(f"{path}: expected a file of at most {MAX_BYTES} bytes")
        found = torch.load(path, map_location="cpu", weights_only=True)
    except ResultError:
        raise
    except Exception as error:  # of a zip, a pickle or a disk
        reason = str(error).partition("\n")[0]
        raise ResultError(f"{path}: expected tensors of a graph, got {reason}") from error
    missing = [
        k for k in ("cfg", *NAMES, *TENSORS) if not isinstance(found, dict) or k not in found
    ]
    if missing:
        raise ResultError(f"{path}: expected tensors of a graph, missing {', '.join(missing)}")
    if "neurons_in_graph" in found or "neurons_scores" in found:
        raise ResultError(f"{path}: expected scores of edges or nodes, got those of neurons")
    return _document(found, str(path))


def _document(found: Mapping[str, Any], path: str) -> dict[str, Any]:
    if not isinstance(found["cfg"], dict):
        raise ResultError(f"{path}: expected cfg to be a dict, got {type(found['cfg']).__name__}")
    for name in NAMES:
        given = found[name]
        if not isinstance(given, list | tuple) or not all(isinstance(n, str) for n in given):
            raise ResultError(f"{path}: expected {name} to be names, got {type(given).__name__}")
    sources, destinations = found["src_nodes"], found["dst_nodes"]
    shapes: dict[str, tuple[int, ...]] = {
        "edges_scores": (len(sources), len(destinations)),
        "edges_in_graph": (len(sources), len(destinations)),
        "nodes_in_graph": (len(sources),),
        **({"nodes_scores": (len(sources),)} if "nodes_scores" in found else {}),
    }
    tables: dict[str, Any] = {}
    for name, shape in shapes.items():
        got = getattr(found[name], "shape", None)
        if got is None or tuple(got) != shape:
            what = type(found[name]).__name__ if got is None else list(got)
            raise ResultError(f"{path}: expected {name} of shape {list(shape)}, got {what}")
        tables[name] = found[name].tolist()
    parallel = found["cfg"].get("parallel_attn_mlp")

    def depth(node: Node) -> float:
        """How deep it is: a node reads those that are less deep."""
        return node.layer if parallel and node.kind == "mlp" else node.depth

    edges = {
        f"{source}->{destination}": {
            "score": tables["edges_scores"][i][j],
            "in_graph": bool(tables["edges_in_graph"][i][j]),
        }
        for i, source in enumerate(sources)
        for j, destination in enumerate(destinations)
        if depth(Destination(destination).node) > depth(Node(source))
    }
    nodes: dict[str, Any] = {
        source: {"in_graph": bool(tables["nodes_in_graph"][i])} for i, source in enumerate(sources)
    }
    if "nodes_scores" in tables:
        for i, source in enumerate(sources):
            nodes[source]["score"] = tables["nodes_scores"][i]
    nodes["logits"] = {"in_graph": True}
    return {"cfg": dict(found["cfg"]), "nodes": nodes, "edges": edges}
