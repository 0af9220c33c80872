"""Information flow routes: how near what a source writes is to what a destination reads."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.gradients import Edges
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph

Extract = Literal["edges", "routes"]


def ifr(task: Task, *, extract: Extract = "edges", batch_size: Count = 64) -> Attribution:
    """The share of what a destination reads that comes from a source, in the clean run.

    Ferrando and Voita (2024), "Information flow routes: automatically interpreting language models
    at scale". The proximity of z to a sum y is max(0, |y| - |y - z|) in L1 norms; shares of it are
    taken among all parts of the sum, position by position, and averaged over positions and pairs.
    Neither the corrupted inputs nor the metric are looked at: what is large counts, whether or not
    an answer depends on it. Ranks by the scores, which are from 0 to 1.

    The definition is that of the library EAP-IG. There `embed` and `pos` are one node, and the
    biases of attention's outputs are in y: here y is the sum of what nodes write. Where no part is
    near y the share is 0, there it is not a number.

    Args:
        task: what to look at.
        extract: `edges`, as that library: every edge by its own share. `routes`, as the paper finds
            a circuit: from the output downwards edges are followed whose share is above a
            threshold. A score is then the largest threshold at which the edge is reached: the least
            share on the best way through it to `logits`.
        batch_size: pairs at a time.

    Cost: 1 forward pass for each pair.
    """
    graph, outputs = task.graph, task.clean_run.outputs
    total = torch.zeros(graph.n_edges, dtype=torch.float64, device=outputs.device)
    for pairs in batches(task.n_pairs, batch_size, outputs.device):
        written, found = outputs[pairs], {}
        for block in graph.blocks:
            if block.n_sources not in found:  # q, k and v of a layer read the same
                parts = written[:, : block.n_sources]
                whole = parts.sum(1, keepdim=True)
                near = (whole.abs().sum(-1) - (whole - parts).abs().sum(-1)).clamp(min=0)
                shares = (near / near.sum(1, keepdim=True)).nan_to_num(0)
                found[block.n_sources] = shares.mean(-1).sum(0).double()
            total[block.start : block.stop] += found[block.n_sources].repeat(
                len(block.destinations)
            )
    shares_of_edges = (total / task.n_pairs).cpu().numpy()
    if extract == "routes":
        shares_of_edges = along_routes(graph, shares_of_edges)
    return Attribution(shares_of_edges, task.n_pairs, 0)


def along_routes(graph: Graph, shares: Edges) -> Edges:
    """For each edge the least share on the way through it to `logits` whose least is greatest."""
    reached = dict.fromkeys(graph.nodes, 0.0)
    reached[graph.nodes[-1]] = np.inf
    targets = [destination.nodes for destination in graph.destinations]
    targets_of_edge = [targets[d] for d in graph.destination_of_edge]
    widths = np.zeros_like(shares)
    for source in reversed(graph.sources):  # all that read it come behind it
        for edge in graph.edges_from(source):
            onward = max(reached[target] for target in targets_of_edge[edge])
            widths[edge] = min(shares[edge], onward)
            reached[source] = max(reached[source], widths[edge])
    return widths
