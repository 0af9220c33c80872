"""AtP*: attribution patching with recomputed attention and gradients that skip layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.backward import BackwardRules
from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.gradients import (
    GradientsAt,
    default_run,
    node_gradients,
    seen_from,
)
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.methods.parts import parts
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph
from knowncircuits.patching import single_patches


def atp_star(
    task: Task,
    *,
    fix_attention: bool = True,
    drop_layers: bool = True,
    gradients_at: GradientsAt | None = None,
    batch_size: Count = 32,
) -> Attribution:
    """As `eap`, with two repairs of what linear approximations miss.

    Kramár, Lieberum, Shah and Nanda (2024), "AtP*: An efficient and scalable method for localizing
    LLM behaviour to components". Attention that is certain has no gradient: for an edge into
    queries or keys the softmax is recomputed, and only what follows the head is linear (the QK
    fix). Effects over several paths cancel by chance: gradients are taken once for each layer,
    with nothing handed on through what that layer writes, and the sizes of the effects averaged
    (GradDrop). Ranks by absolute values, which with GradDrop are all there is.

    The paper scores nodes at a position and says how edges are to be scored. Here an edge is
    patched at all positions: all keys move at once, where the paper moves one. The mean over layers
    leaves out the destination's own layer, behind which no gradient is left; so does the paper by
    dividing by one layer less, but edges into `logits` lose no layer and have the mean over all. A
    model of one layer has no other to drop, and the plain gradient is taken. By neither repair it
    is `eap`.

    Args:
        task: what to look at.
        fix_attention: recompute attention for edges into queries and keys.
        drop_layers: GradDrop.
        gradients_at: `clean` or `corrupted`; by default as the metric allows, as for `eap`.
        batch_size: pairs at a time.

    Cost: for each pair 3 forward passes, one for each layer dropped, and one for each edge into
    queries or keys, of which our own models compute only the head; 2 backward passes for each layer
    dropped.

    Raises MethodError for gradients of a divergence at the clean run.
    """
    at, graph = default_run(task, gradients_at), task.graph
    dropping = drop_layers and graph.n_layers > 1
    layers = list(range(graph.n_layers)) if dropping else [None]
    device = task.clean.device
    weights = _weights(graph, dropping).to(device)
    total = torch.zeros(graph.n_edges, dtype=torch.float64, device=device)
    n_runs = 0
    for part in parts(task):
        for pairs in batches(part.n_pairs, batch_size, device):
            effects, n_recomputed = _effects(part, at, pairs, layers, fix_attention)
            n_runs += n_recomputed
            total += (weights[:, None] * (effects.abs() if dropping else effects)).sum((0, 1))
    n_forward = (3 + len(layers)) * task.n_pairs + n_runs
    values = (total / task.n_pairs).cpu().numpy()
    return Attribution(values, n_forward, 2 * len(layers) * task.n_pairs, {"at": at})


def _effects(
    task: Task,
    at: GradientsAt,
    pairs: Int[Tensor, " row"],
    layers: Sequence[int | None],
    fix_attention: bool,
) -> tuple[Float[Tensor, "layer row edge"], int]:
    """With nothing handed on through what each layer writes; and how many runs were recomputed."""
    tokens, other, sign = seen_from(task, at, pairs)
    found = [
        node_gradients(task, tokens, other, pairs, BackwardRules(dropped_layer=layer))
        for layer in layers
    ]
    effects = torch.stack([edges for edges, _ in found])
    n_runs = 0
    if fix_attention:
        n_runs = _recompute(task, tokens, other, [nodes for _, nodes in found], effects)
    return sign * effects.double(), n_runs


def _recompute(
    task: Task,
    tokens: Tensor,
    other: Float[Tensor, "row source pos d_model"],
    gradients: Sequence[Float[Tensor, "row source pos d_model"]],
    effects: Float[Tensor, "layer row edge"],
) -> int:
    """Put in place the effects of edges into queries and keys; returns how many runs it took.

    What a head writes is linear in its pattern, so how it changes times its gradient is the
    pattern's change times the pattern's gradient.
    """
    graph = task.graph
    with torch.no_grad():
        run = task.model.run(tokens)
        fed, targets = graph.feeds
        letters = np.array([destination.letter for destination in graph.destinations])
        into = np.isin(letters, ["q", "k"])[graph.destination_of_edge[fed]]
        differs = (run.outputs != other).flatten(2).any(2).cpu().numpy()  # [row, source]
        feeds, chosen = np.nonzero(into[:, None] & differs[:, graph.source_of_edge[fed]].T)
        ends = (fed[feeds], chosen, targets[feeds])
        edges, rows, heads = (torch.from_numpy(x).to(tokens.device) for x in ends)
        effects[:, rows, edges] = 0
        patches = single_patches(task.model, tokens, run, other)
        for part, change in patches.changes(edges, rows, heads):
            row, edge, head = rows[part], edges[part], heads[part]
            for nodes, found in zip(gradients, effects, strict=True):
                effect = (nodes[row, head] * change).flatten(1).sum(1)
                # Of a key that several heads read, what all of them do.
                found.view(-1).index_add_(0, row * graph.n_edges + edge, effect)
    return len(edges)


def _weights(graph: Graph, dropping: bool) -> Float[Tensor, "layer edge"]:
    """Of each layer's gradients in an edge's mean: none of the destination's own."""
    if not dropping:
        return torch.ones(1, graph.n_edges, dtype=torch.float64)
    nodes = [destination.node for destination in graph.destinations]
    own = np.array([-1 if node.kind == "logits" else node.layer for node in nodes])
    counts = own[graph.destination_of_edge] != np.arange(graph.n_layers)[:, None]
    return torch.from_numpy(counts / counts.sum(0))
