"""Activation patching by head and position: what each head writes, reads and attends to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.evaluation.choices import View
from knowncircuits.evaluation.components.changes import Items, values_by_suffixes
from knowncircuits.evaluation.components.sides import Sides
from knowncircuits.evaluation.components.views import (
    OF_HEADS,
    check_way,
    describe_node,
    edges_of_view,
    nodes_of_views,
    normalised,
)
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph
from knowncircuits.names import Node
from knowncircuits.transformer import Transformer
from knowncircuits.work.progress import reported


@takes(task=Task)
def act_patch(
    task: Task,
    nodes: Sequence[str] = OF_HEADS,
    *,
    per_position: bool = False,
    direction: str = "noise",
    only: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The task's value when one component, at all positions or at one, reads the other run.

    Activation patching of heads (Vig et al., 2020; Meng et al., 2022; Wang et al., 2023), with the
    views and the normalisations of TransformerLens's `patching` module. Each is a mask of the
    primitive (see `views`).

    Args:
        task: says what is patched in (`ablation`), and the value p, which is `Task.value` as a mean
            over pairs: the logit difference for `logit_diff`.
        nodes: which views: `z`, what heads write; `q`, `k`, `v`, what they read; `pattern`, their
            attention; `mlp`, what MLPs write.
        per_position: one position at a time; of a pattern, that of the query.
        direction: `noise`, the clean run with a component of the corrupted one, which finds what is
            necessary; `denoise`, the corrupted run with a component of the clean one, which finds
            what is sufficient (Heimersheim and Nanda, 2024).
        only: heads and MLPs, by name; by default all.

    Returns:
        A row for each view, node and position: view, node, kind, layer, head (-1 of MLPs), position
        (with `per_position`; BOS is 0), value p, recovered, which is (p - corrupted) / (clean -
        corrupted), lost, its complement, and difference, p less the unpatched run's. `attrs` has
        clean and corrupted.

    Cost: of our own models what lies behind each patch, in layers and, where attention is causal,
    in positions; of others a run for each patch, a whole one, and two for a pattern's positions.

    Raises:
        UnknownNameError: for another view, direction or node.
        TaskError: to denoise a task that patches in no other input.
    """
    check_way(task, direction)
    items = nodes_of_views(task.graph, nodes, only)
    own = isinstance(task.model, Transformer)
    with torch.no_grad():
        values_of = values_by_suffixes if own else _values_by_masks
        values = values_of(Sides.of(task, direction), items, per_position=per_position)
    rows = [
        {"view": view, **describe_node(node), "position": position, "value": value}
        for (view, node), of_item in zip(items, values.tolist(), strict=True)
        for position, value in enumerate(of_item)
    ]
    frame = pd.DataFrame(rows)
    frame = frame if per_position else frame.drop(columns="position")
    return normalised(frame, task, direction)


def _values_by_masks(
    sides: Sides, items: Items, *, per_position: bool
) -> Float[np.ndarray, "item position"]:
    """What `values_by_suffixes` gives, for any model that has the primitive: runs under masks."""
    graph, seq = sides.task.graph, sides.tokens.shape[1]
    values = np.empty((len(items), seq if per_position else 1))
    places: Sequence[int | None] = range(seq) if per_position else [None]
    cells = [(i, place) for i in range(len(items)) for place in places]
    size = sides.runs_at_a_time
    for chunk in reported([cells[i : i + size] for i in range(0, len(cells), size)]):
        masks, alternatives = [], []
        for i, place in chunk:
            view, node = items[i]
            alternative = sides.alternative
            if view == "pattern" and place is not None:
                # Keys are shared by all queries: what the head writes under the whole pattern,
                # put in where it is asked for.
                whole = _mask(graph, node, view, seq, None).to(alternative)
                outputs = sides.task.model.run(sides.tokens, alternative, whole[None]).outputs
                alternative, view = outputs, "z"
            masks.append(_mask(graph, node, view, seq, place).expand(len(sides.tokens), -1, -1))
            alternatives.append(alternative)
        rows = sides.every.repeat(len(chunk))
        mask = torch.cat(masks).to(sides.alternative)
        run = sides.task.model.run(sides.tokens[rows], torch.cat(alternatives), mask)
        found = sides.task.value(run.logits, rows).double().reshape(len(chunk), -1).mean(1)
        for (i, place), value in zip(chunk, found.tolist(), strict=True):
            values[i, place or 0] = value
    return values


def _mask(
    graph: Graph, node: Node, view: View, seq: int, place: int | None
) -> Float[Tensor, "edge seq"]:
    """The mask of a view of one node, at a place or everywhere."""
    mask = torch.zeros(graph.n_edges, seq)
    edges = torch.from_numpy(edges_of_view(graph, node, view))
    mask[edges, slice(None) if place is None else place] = 1
    return mask
