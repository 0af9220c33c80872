"""Contextual decomposition for transformers: what of later nodes comes of a node at a position."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.decomposition import Parts, heads, logits, mlp
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph
from knowncircuits.transformer import Transformer

# Of what a node writes at a position, the share that comes of another one at another.
Shares = Float[np.ndarray, "source pos target at"]
Scores = Float[np.ndarray, "source pos"]


def cd_t(task: Task, *, recursive: bool = True, batch_size: Count = 4) -> Attribution:
    """How much of the answer, or of a node that the answer needs, comes of a node at a position.

    Hsu et al. (2024), "Efficient automated circuit discovery in transformers using contextual
    decomposition" (CD-T). What a node writes at one position, less what it writes in the
    alternative, is called relevant, and all else in the clean run irrelevant. Both are carried on
    to the logits, and add up to the run: norms have the run's scale, biases are shared out by size,
    relevant values go through a pattern of relevant queries and keys alone, a hidden unit's
    relevant part is what it loses without, and where the parts have opposite signs the larger one
    is all. A node's score is how far the metric falls without the relevant part of the logits; or,
    from the last node to the first, how much of what another high node writes is relevant (L1
    norms). Ranks by the scores, which are from 0 to 1.

    The authors take the mean over other inputs for the alternative: the ablation `mean`. They go
    back from the logits step by step, take a few of the highest nodes in each, and look for what is
    relevant to those. A score here is the largest threshold at which that search would take the
    node: the least relevance on the best way from it to the logits, those to the logits as shares
    of the largest, and relevances to nodes not divided by the sum of their layer. They look at
    heads alone; here MLPs and inputs are nodes, too. An edge at a position has the lower score of
    its ends there, where keys and values serve a head at all positions that may read them; a whole
    edge that of its best position. Of a gated unit the irrelevant part is the product of those of
    its factors. A bias of two parts that are both zero is irrelevant; theirs is lost.

    Args:
        task: what to look at.
        recursive: whether what is relevant to high nodes counts, or to the logits alone.
        batch_size: pairs at a time, each with a row for every source and position.

    Cost: 2 + sources x positions forward passes for each pair, each of two parts.

    Raises MethodError for models that are not our own.
    """
    model = task.model
    if not isinstance(model, Transformer):
        kind = type(model).__name__
        raise MethodError(f"expected a Transformer, whose weights are known, got a {kind}")
    graph, n_pos = task.graph, task.clean.shape[1]
    sources, rows = len(graph.sources), len(graph.sources) * n_pos
    effects, shares = np.zeros((sources, n_pos)), np.zeros((sources, n_pos, sources, n_pos))
    with torch.no_grad():
        for pairs in batches(task.n_pairs, batch_size, task.clean.device):
            found, relevant = decompose(task, model, pairs)
            effects += found.reshape(len(pairs), sources, n_pos).sum(0).double().cpu().numpy()
            relevant = relevant.reshape(len(pairs), sources, n_pos, sources, n_pos)
            shares += relevant.sum(0).double().cpu().numpy()
    sizes = np.abs(effects)
    scores = sizes / (sizes.max() or 1.0)
    if recursive:
        scores = along_ways(scores, shares / task.n_pairs)
    by_position = of_edges(graph, scores, causal=model.config.causal)
    passes = (2 + rows) * task.n_pairs
    return Attribution(by_position.max(1), passes, 0, by_position=by_position)


def decompose(
    task: Task, model: Transformer, pairs: Int[Tensor, " pair"]
) -> tuple[Float[Tensor, " row"], Float[Tensor, "row source pos"]]:
    """For each pair, source and position the effect on the metric, and shares of all nodes."""
    clean, other = task.clean_run.outputs[pairs], task.alternative[pairs]
    n_pairs, sources, n_pos, d_model = clean.shape
    rows = n_pairs * sources * n_pos
    # Row by row whether a source is the one that is relevant, and where.
    own = torch.eye(sources * n_pos, dtype=torch.bool, device=clean.device)
    own = own.reshape(-1, sources, n_pos, 1).repeat(n_pairs, 1, 1, 1)
    of_row = torch.arange(n_pairs, device=clean.device).repeat_interleave(sources * n_pos)
    shares = clean.new_zeros(rows, sources, n_pos)

    def split(place: int, written: Parts) -> Parts:
        """What a source writes, where it is the row's own: all that the alternative lacks."""
        shares[:, place] = written.share()
        here, instead = own[:, place], other[of_row, place]
        return Parts(
            torch.where(here, written.total - instead, written.relevant),
            torch.where(here, instead, written.irrelevant),
        )

    none = clean.new_zeros(rows, n_pos, d_model)
    stream, place = Parts(none, none), 0
    for place in range(len(task.graph.inputs)):
        stream = stream.plus(split(place, Parts(none, clean[of_row, place])))
    place = len(task.graph.inputs)
    for layer in range(model.config.n_layers):
        written = heads(model, stream, layer)
        parts = [
            Parts(*(part[:, head] for part in written)) for head in range(model.config.n_heads)
        ]
        whole = Parts(none, none)
        for part in parts:
            whole = whole.plus(split(place, part))
            place += 1
        stream = stream.plus(whole.biased(model.b_O[layer]))
        if model.config.d_mlp:
            stream = stream.plus(split(place, mlp(model, stream, layer))).of_one_sign()
            place += 1
    return task.measure(logits(model, stream).irrelevant, pairs[of_row]), shares


def along_ways(scores: Scores, shares: Shares) -> Scores:
    """For each node the least relevance on the way to the logits whose least is greatest."""
    found = scores.copy()
    for source in reversed(range(len(scores))):  # of a node comes only what is behind it
        behind = np.minimum(shares[source, :, source + 1 :], found[source + 1 :])
        best = behind.max((1, 2), initial=0.0)
        found[source] = np.maximum(found[source], best)
    return found


def of_edges(graph: Graph, scores: Scores, *, causal: bool) -> Float[np.ndarray, "edge pos"]:
    """The lower score of an edge's ends at each position; `logits` is always in."""
    # Of each position the best of those that may look at it.
    if causal:
        seen = np.maximum.accumulate(scores[:, ::-1], 1)[:, ::-1]
    else:
        seen = np.repeat(scores.max(1, keepdims=True), scores.shape[1], 1)
    found: np.ndarray = scores[graph.source_of_edge]
    for block in graph.blocks:
        for i, destination in enumerate(block.destinations):
            edges = slice(
                block.start + i * block.n_sources, block.start + (i + 1) * block.n_sources
            )
            if destination.node.kind == "logits":
                continue
            ends = seen if destination.letter in ("k", "v") else scores
            targets = [graph.sources.index(node) for node in destination.nodes]
            found[edges] = np.minimum(found[edges], ends[targets].max(0))
    return found
