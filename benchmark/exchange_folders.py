"""A folder of MIB's leaderboard: one file of scores, or circuits of several sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError
from knowncircuits.exchange import GraphFile, graph_file, read_graph_file

ENDINGS = (".json", ".pt")


@takes(folder=str | Path)
def read_mib_folder(folder: str | Path) -> GraphFile:
    """Read the folder of a task and a model, `ioi_gpt2`, say, as MIB's leaderboard takes it.

    It holds one `.json` or `.pt` file of scores of edges or nodes (`importances.json`), or several
    of circuits, of at most 0.1%, 0.2%, 0.5%, ... of all edges (Mueller et al., 2025). Of circuits
    the score of an edge is the share of them that hold it, so that the top n edges are a circuit.

    Raises ResultError for a folder with no such file or with files of several graphs, and all that
    `read_graph_file` raises.
    """
    paths = sorted(path for path in Path(folder).glob("*") if path.suffix in ENDINGS)
    if not paths:
        raise ResultError(f"expected files {' or '.join(ENDINGS)} in {folder}, got none")
    files = [read_graph_file(path) for path in paths]
    if len(files) == 1:
        return files[0]
    graph = files[0].graph
    for path, file in zip(paths, files, strict=True):
        if file.graph != graph:
            raise ResultError(
                f"{path}: expected a graph of {graph.summary()}, got {file.graph.summary()}"
            )
    held = np.mean([file.in_graph for file in files], axis=0)
    return graph_file(graph, scores=held, d_model=files[0].document["cfg"].get("d_model", 0))
