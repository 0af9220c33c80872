"""Path patching: what heads and MLPs do to a task by way of chosen receivers alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.evaluation.components.sides import Sides
from knowncircuits.evaluation.components.views import (
    check_way,
    describe_node,
    edges_into,
    normalised,
)
from knowncircuits.evaluation.task import Task
from knowncircuits.names import Destination, Node
from knowncircuits.work.progress import reported


@takes(task=Task)
def path_patch(
    task: Task,
    senders: Sequence[str | tuple[str, ...]] | None = None,
    receivers: Sequence[str] = ("logits",),
    freeze_mlps: bool = False,
    *,
    per_position: bool = False,
    direction: str = "noise",
) -> pd.DataFrame:
    """The task's value when receivers read what a sender of the other run would make of them.

    Path patching (Wang et al., 2023, "Interpretability in the wild"; Goldowsky-Dill et al., 2023).
    Two calls of the primitive. In the first the sender writes what it writes in the other run, all
    other heads and inputs write what they do in this one, and MLPs are computed anew. In the second
    the receivers alone read what was written in the first.

    Args:
        task: as of `act_patch`.
        senders: nodes, each on its own row; several in a tuple are sent together. By default all
            heads.
        receivers: destinations: `logits`, `a2.h1<q>`, an MLP, or `a2.h1` for all that a head reads.
        freeze_mlps: MLPs write what they do in this run, too, so that only the edges from the
            sender to the receivers are patched. The first call says nothing new then, and is not
            made.
        per_position: the sender writes so at one position at a time.
        direction: `noise` or `denoise`, as of `act_patch`.

    Returns:
        A row for each sender (and position): node (names joined by +), kind, layer, head, value,
        recovered, lost and difference, as `act_patch` has them. Of several together kind is
        `several`.

    Cost: two forward passes for each pair, sender and position; one where MLPs are frozen.

    Raises:
        UnknownNameError: for a sender, a receiver or a direction that there is not.
        TaskError: for no senders or receivers, or to denoise a task that patches in no other input.
    """
    check_way(task, direction)
    groups = _senders(task, senders)
    if isinstance(receivers, str) or not len(receivers):
        raise TaskError(f"expected receivers such as ('logits',), got {receivers!r}")
    reads = np.zeros(task.graph.n_edges, dtype=bool)
    for name in receivers:
        if name not in {*task.graph.destinations, *task.graph.nodes}:
            raise UnknownNameError("receiver", name, task.graph.destinations)
        reads |= edges_into(task.graph, Destination(name))
    sides = Sides.of(task, direction)
    places: Sequence[int | None] = range(sides.tokens.shape[1]) if per_position else [None]
    cells = [(group, place) for group in groups for place in places]
    size, rows = sides.runs_at_a_time, []
    with torch.no_grad():
        for chunk in reported([cells[i : i + size] for i in range(0, len(cells), size)]):
            values = _values(sides, chunk, reads, freeze_mlps=freeze_mlps)
            for (group, place), value in zip(chunk, values.tolist(), strict=True):
                where = {"position": place} if per_position else {}
                rows.append({**_describe(group), **where, "value": value})
    frame = normalised(pd.DataFrame(rows), task, direction)
    frame.attrs |= {"receivers": list(receivers), "freeze_mlps": freeze_mlps}
    return frame


Group = tuple[Node, ...]


def _senders(task: Task, senders: Sequence[str | tuple[str, ...]] | None) -> list[Group]:
    known = task.graph.sources
    if senders is None:
        return [(node,) for node in known if node.kind == "head"]
    if isinstance(senders, str) or not len(senders):
        raise TaskError(f"expected senders such as ('a0.h1',), got {senders!r}")
    groups = [
        tuple(sender) if isinstance(sender, tuple | list) else (sender,) for sender in senders
    ]
    if not all(groups):
        raise TaskError(f"expected at least one sender in each group, got {list(senders)}")
    for name in (name for group in groups for name in group):
        if name not in known:
            raise UnknownNameError("sender", name, known)
    return [tuple(Node(name) for name in group) for group in groups]


def _describe(group: Group) -> dict[str, object]:
    if len(group) == 1:
        return describe_node(group[0])
    layer = min(node.layer for node in group)
    return {"node": "+".join(group), "kind": "several", "layer": layer, "head": -1}


def _values(
    sides: Sides,
    cells: Sequence[tuple[Group, int | None]],
    reads: Bool[np.ndarray, " edge"],
    *,
    freeze_mlps: bool,
) -> Float[Tensor, " cell"]:
    """The effect of each group of senders, perhaps at one position, mean over pairs."""
    task, graph, n = sides.task, sides.task.graph, len(cells)
    base, alternative = sides.base.outputs, sides.alternative
    sends = np.array([[node in group for node in graph.sources] for group, _ in cells])
    sent = (
        torch.from_numpy(sends)
        .to(base.device)[:, None, :, None]
        .expand(-1, task.n_pairs, -1, base.shape[2])
    )
    places = torch.tensor(
        [-1 if place is None else place for _, place in cells], device=base.device
    )
    at = (places[:, None] < 0) | (
        places[:, None] == torch.arange(base.shape[2], device=base.device)
    )
    sent = (sent & at[:, None, None])[..., None]
    written = torch.where(sent, alternative, base).flatten(0, 1)
    rows = sides.every.repeat(n)
    if graph.mlp and not freeze_mlps:
        mlps = np.array([node.kind == "mlp" for node in graph.sources])
        fixed = (~mlps | sends)[:, graph.source_of_edge]  # [cell, edge]
        mask = torch.from_numpy(fixed).to(written).repeat_interleave(task.n_pairs, 0)
        run = task.model.run(sides.tokens[rows], written, mask)
        anew = torch.from_numpy(mlps & ~sends).to(base.device).repeat_interleave(task.n_pairs, 0)
        written = torch.where(anew[:, :, None, None], run.outputs, written)
    mask = torch.from_numpy(reads).to(written)[None]
    logits = task.model.run(sides.tokens[rows], written, mask).logits
    return task.value(logits, rows).double().reshape(n, -1).mean(1)
