"""What of a component is patched, as a mask of edges; and frames of what comes of it.

Every view is a mask of the primitive. What a head writes (`z`) is patched by all edges out of it;
what it reads as queries, keys or values by all edges into that input, which then reads the other
run's residual stream, whatever norm lies behind; its attention pattern by those into queries and
keys together. At one position alone a mask is zero at all others. The one exception is the pattern
of one query position: keys are shared by all queries, so it takes two calls, the first of which
says what the head would write under the whole pattern of the other run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import numpy as np
import pandas as pd
from jaxtyping import Bool

from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.evaluation.choices import View, Way
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph
from knowncircuits.names import QKV, Destination, Letter, Node

VIEWS: tuple[View, ...] = get_args(View)
OF_HEADS: tuple[View, ...] = VIEWS[:-1]
READS: Mapping[str, tuple[Letter, ...]] = {
    "q": ("q",),
    "k": ("k",),
    "v": ("v",),
    "pattern": ("q", "k"),
}
# A difference of the clean and the corrupted run that is rounding, as a share of their sizes.
ROUNDING = 1e-9


def edges_of_view(graph: Graph, node: Node, view: str) -> Bool[np.ndarray, " edge"]:
    """The edges that are masked to patch a view of a head, or of an MLP."""
    found = np.zeros(graph.n_edges, dtype=bool)
    if view in READS:
        for letter in READS[view]:
            found |= edges_into(graph, graph.input_of(node, letter))
    else:
        found[graph.edges_from(node)] = True
    return found


def edges_into(graph: Graph, destination: Destination) -> Bool[np.ndarray, " edge"]:
    """All edges into one destination, or into all of a head's; UnknownNameError for no such one."""
    names = [destination]
    if destination.node.kind == "head" and not destination.letter:
        names = [graph.input_of(destination.node, letter) for letter in QKV]
    places = [i for i, name in enumerate(graph.destinations) if name in names]
    if not places:
        raise UnknownNameError("destination", destination, graph.destinations)
    members: np.ndarray = np.isin(graph.destination_of_edge, places)
    return members


def nodes_of_views(
    graph: Graph, views: Sequence[str], nodes: Sequence[str] | None
) -> list[tuple[View, Node]]:
    """Each view with each node that has it, in the graph's order.

    Raises UnknownNameError for another view or node, TaskError for no view or the MLPs of a model
    without.
    """
    if isinstance(views, str) or not len(views):
        raise TaskError(f"expected views such as ('z', 'q'), got {views!r}")
    known = [node for node in graph.sources if node.kind in ("head", "mlp")]
    for name in nodes or ():
        if name not in known:
            raise UnknownNameError("head or MLP", name, known)
    found: list[tuple[View, Node]] = []
    for view in VIEWS:
        kind = "mlp" if view == "mlp" else "head"
        if view in views:
            found += [(view, n) for n in known if n.kind == kind and (nodes is None or n in nodes)]
    for name in views:
        if name not in VIEWS:
            raise UnknownNameError("view", name, VIEWS)
    if not found:
        raise TaskError(f"expected heads or MLPs with {', '.join(views)}, got none in the model")
    return found


def check_way(task: Task, direction: str) -> None:
    """Raise UnknownNameError for another direction, TaskError for one that the task has not."""
    if direction not in get_args(Way):
        raise UnknownNameError("direction", direction, get_args(Way))
    if direction == "denoise" and task.ablation != "resample":
        raise TaskError(f"expected the ablation resample to denoise, got {task.ablation}")


def describe_node(node: Node) -> dict[str, object]:
    """The columns of every frame that say which node a row is about."""
    head = node.head if node.kind == "head" else -1
    return {"node": str(node), "kind": node.kind, "layer": node.layer, "head": head}


def normalised(frame: pd.DataFrame, task: Task, direction: str) -> pd.DataFrame:
    """The frame with its values p as shares of the way between the clean and the corrupted run.

    `recovered` is (p - corrupted) / (clean - corrupted), 1 at the clean run, and `lost` its
    complement, (clean - p) / (clean - corrupted); NaN where the two runs have the same value.
    `difference` is p less the value of the run that is patched. The frame's `attrs` tell the two
    values, the metric, the direction, and how many pairs they are means of.
    """
    clean, corrupted = endpoints(task)
    gap = clean - corrupted
    if abs(gap) <= ROUNDING * max(abs(clean), abs(corrupted), 1e-30):
        gap = np.nan
    frame = frame.assign(
        lost=(clean - frame["value"]) / gap,
        recovered=(frame["value"] - corrupted) / gap,
        difference=frame["value"] - (clean if direction == "noise" else corrupted),
    )
    frame.attrs |= {
        "clean": clean,
        "corrupted": corrupted,
        "direction": direction,
        "metric": task.metric,
        "ablation": task.ablation,
        "n_pairs": task.n_pairs,
        "task": task.name,
    }
    return frame


def telling_column(frame: pd.DataFrame, known: Iterable[str]) -> str | None:
    """The first of some columns that a frame has and that tells its components apart.

    For patches that is a column of 0 where a patch does nothing: `lost` of clean runs, `recovered`
    of corrupted ones, and `difference` where the two runs have one value, so that there are no
    shares of what lies between them.
    """
    found = [name for name in known if name in frame]
    if frame.attrs.get("direction") == "denoise":
        found.sort(key=lambda name: name != "recovered")
    shares = [name for name in found if name in ("lost", "recovered")]
    if "difference" in found and frame[shares].isna().all(axis=None):
        return "difference"
    return found[0] if found else None


def endpoints(task: Task) -> tuple[float, float]:
    """The value of the clean and of the corrupted run, means over pairs."""
    import torch

    every = torch.arange(task.n_pairs, device=task.clean.device)
    clean, corrupted = (
        task.value(run.logits, every).double().mean().item()
        for run in (task.clean_run, task.corrupted_run)
    )
    return clean, corrupted
