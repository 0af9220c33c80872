"""What attribution costs on models as large as real ones, beside EAP-IG's own library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.bench.attribution_run import write_subject
from knowncircuits.graph import Graph
from knowncircuits.work.progress import reported

GPT2_SMALL = TransformerConfig(
    12, 12, 768, 64, 3072, 15, 5_000, 5_000, activation="gelu_new", norm="layer"
)
METHODS = ("eap", "eap-ig-inputs")  # that both have
OURS = [sys.executable, "-m", "knowncircuits.evaluation.bench.attribution_run"]
PEER = Path(__file__).with_name("attribution_peer.py")


def bench_attribution(
    config: TransformerConfig = GPT2_SMALL,
    *,
    methods: tuple[str, ...] = METHODS,
    n_pairs: int = 8,
    repeats: int = 3,
    threads: int = 1,
    peer: Path | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Attribute a random model's output at the last position to all edges, a process for each run.

    Runs of ours and of the peer's alternate, so that a busy machine is as busy for both.

    Args:
        config: the model's sizes; by default GPT-2 small's, with a vocabulary of 5,000.
        methods: beside a peer of those that both have.
        n_pairs: of clean and corrupted inputs, of the whole context.
        repeats: how often each method runs.
        threads: of each run.
        peer: the Python of an environment with EAP-IG; see `attribution_peer.py`.
        seed: of weights and tokens.

    Returns:
        A row for each method: its edges; the least seconds of the processor and of the clock, from
        tokens to scores, and the most memory of a process, weights and libraries included, in
        millions of bytes. With a peer its own, too, and how many times ours go into them; and
        `difference`, the largest of the scores over the largest score, where both take gradients at
        the same runs.

    Raises ResultError, with what it printed, for a run that fails.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_subject(folder, config, n_pairs, seed)
        commands = {"ours": OURS} | ({"peer": [str(peer), str(PEER)]} if peer else {})
        runs = [
            {"method": method, "library": library} | run_process([*command, name, method], threads)
            for _, method, (library, command) in reported(
                [(i, m, c) for i in range(repeats) for m in methods for c in commands.items()]
            )
        ]
        return pd.DataFrame([_row(folder, config.graph, method, runs) for method in methods])


def run_process(command: list[str], threads: int = 1) -> dict[str, float]:
    """What a process prints of itself, as JSON; raises ResultError for one that fails."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:]
        raise ResultError(f"expected {' '.join(command[:3])} to run, got {''.join(last)}")
    printed: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return printed


def _row(
    folder: Path, graph: Graph, method: str, runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What a method took by each library: the least seconds, and the most memory."""
    row: dict[str, Any] = {"method": method, "edges": graph.n_edges}
    for name, pick in (("cpu_seconds", min), ("seconds", min), ("mb", max)):
        own, peer = (
            [run[name] for run in runs if (run["method"], run["library"]) == (method, library)]
            for library in ("ours", "peer")
        )
        row[name] = pick(own)
        if peer:
            row |= {f"peer_{name}": pick(peer), f"{name}_ratio": pick(peer) / pick(own)}
    if "peer_mb" in row and method != "eap":  # theirs: at the clean run, where it is zero
        row["difference"] = _difference(folder, graph, method)
    return row


def _difference(folder: Path, graph: Graph, method: str) -> float:
    """The largest between our scores and theirs, over the largest score."""
    ours = np.load(folder / f"{method}.npy")
    theirs = np.load(folder / f"{method}-peer.npz")
    # Their node `input` is our `embed` and `pos`, whose edges lie next to each other.
    first = np.flatnonzero(graph.source_of_edge != graph.inputs.index("pos"))
    together = np.add.reduceat(ours, first)
    scores = dict(zip(theirs["names"].tolist(), theirs["scores"], strict=True))
    other = graph.merge_inputs().vector(scores)
    return float(np.abs(together - other).max() / np.abs(other).max())
