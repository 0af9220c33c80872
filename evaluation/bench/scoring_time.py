"""What scoring costs on graphs as large as those of real models, beside scikit-learn's areas."""

from __future__ import annotations

from collections.abc import Mapping
from time import process_time

import numpy as np
import pandas as pd
import torch

from knowncircuits.circuit import Circuit
from knowncircuits.evaluation.methods.cost import measure_cost
from knowncircuits.evaluation.scoring.scores import Scores, score, score_views
from knowncircuits.graph import Graph
from knowncircuits.work.progress import reported

GRAPHS = {
    "GPT-2 small": Graph(12, 12),
    "GPT-2 medium": Graph(24, 16),
    "32 layers of 25 heads": Graph(32, 25),
}


def bench_scoring(graphs: Mapping[str, Graph] = GRAPHS, seed: int = 0) -> pd.DataFrame:
    """Score random numbers against random circuits: a tenth of the edges in, a tenth undetermined.

    Args:
        graphs: by name.
        seed: of the numbers and the labels.

    Returns:
        A row for each graph: its edges; the processor's seconds of `score`, and of `score_views`,
        all views; mb, the most memory beyond that of the scores and the circuit, in millions of
        bytes, where the system tells; scikit_seconds of scikit-learn's two areas of the edges that
        are determined; and by how much these differ from ours at most.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    rows = []
    for name, graph in reported([*graphs.items()]):
        random = np.random.default_rng(seed)
        labels = random.choice([-1, 0, 1], size=graph.n_edges, p=[0.1, 0.8, 0.1]).astype(np.int8)
        circuit = Circuit(graph, labels)
        scores = Scores(graph, random.normal(size=graph.n_edges) + labels, "random")
        with measure_cost(torch.device("cpu")) as cost:
            start = process_time()
            found = score(scores, circuit)
            seconds = process_time() - start
            score_views(scores, circuit)
            all_seconds = process_time() - start - seconds
        ranks, determined = scores.ranks(), circuit.determined
        start = process_time()
        areas = [
            measure(labels[determined] == 1, ranks[determined])
            for measure in (roc_auc_score, average_precision_score)
        ]
        scikit = process_time() - start
        ours = np.array([found.auroc, found.average_precision], dtype=np.float64)
        rows.append(
            {
                "graph": name,
                "edges": graph.n_edges,
                "seconds": seconds,
                "all_views_seconds": all_seconds,
                "mb": np.nan if cost.peak_memory is None else cost.peak_memory / 1e6,
                "scikit_seconds": scikit,
                "largest_difference": np.abs(ours - areas).max(),
            }
        )
    return pd.DataFrame(rows)
