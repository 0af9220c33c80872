"""Circuits run on a task: how far a model is from its clean run with all edges outside patched.

Every metric of a task is a distance d from the clean run, and d is m(N) - m for the quantity m that
it is about, N being the whole model: minus the divergence for `kl` and `l2`, the lead of the right
answer for `logit_diff` and `prob_diff`, minus the cross-entropy for `label_loss`. So d(N) = 0 and

    f(C) = (m(C) - m(∅)) / (m(N) - m(∅)) = (d(∅) - d(C)) / d(∅) = 1 - d(C) / d(∅)

where d(∅) is the distance with every edge patched. All are means over the pairs of a task.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import GraphError, UndefinedError
from knowncircuits.evaluation.task import Task
from knowncircuits.work.progress import reported

BATCH_SIZE = 1024  # runs at a time, of one circuit and one pair each
Circuits = Bool[np.ndarray, "circuit edge"]


def true_circuit(circuit: Circuit) -> Bool[np.ndarray, " edge"]:
    """The edges that are in. Undetermined ones are not: no interchange can tell."""
    members: np.ndarray = circuit.labels == Label.IN
    return members


def circuit_distances(
    task: Task, circuits: Circuits, *, batch_size: int = BATCH_SIZE
) -> Float[np.ndarray, " circuit"]:
    """The metric, mean over pairs, of the run in which all edges outside a circuit are patched.

    Circuits that are equal are run once, and the whole model never: its distance is 0, the clean
    run's from itself.

    Args:
        task: says what patched edges read, and how distance is measured.
        circuits: any number of circuits, True for edges that are in.
        batch_size: runs at a time, of one circuit and one pair each.

    Cost: n_pairs forward passes for each different circuit.

    Raises GraphError for circuits of another number of edges.
    """
    if circuits.ndim != 2 or circuits.shape[1] != task.graph.n_edges:
        raise GraphError(
            f"expected circuits of shape [circuit, {task.graph.n_edges}], "
            f"got {list(circuits.shape)}"
        )
    distances = np.zeros(len(circuits))
    partial = np.flatnonzero(~circuits.all(1))
    if len(partial):
        different, same = np.unique(circuits[partial], axis=0, return_inverse=True)
        distances[partial] = _run(task, different, batch_size)[same.reshape(-1)]
    return distances


def circuit_faithfulness(
    task: Task, circuits: Circuits, *, batch_size: int = BATCH_SIZE
) -> Float[np.ndarray, " circuit"]:
    """How much of what the model does each circuit does: f, 1 for all of it and 0 for nothing.

    Exactly 1 for the whole model and exactly 0 for no edges; below 0 and above 1 are possible.

    Args: see `circuit_distances`.

    Raises:
        GraphError: for circuits of another number of edges.
        UndefinedError: where patching every edge does not make the metric grow.
    """
    none = np.zeros((1, task.graph.n_edges), dtype=bool)
    distances = circuit_distances(task, np.concatenate([none, circuits]), batch_size=batch_size)
    gap = float(distances[0])
    if not gap > 0:
        raise UndefinedError(
            f"expected a {task.metric} above 0 with every edge of {task.name} patched "
            f"({task.ablation}), got {gap:g}: faithfulness is not defined"
        )
    return 1 - distances[1:] / gap


def _run(task: Task, circuits: Circuits, batch_size: int) -> Float[np.ndarray, " circuit"]:
    """A row for each circuit and pair, in chunks."""
    outside = torch.from_numpy(~circuits).to(task.clean_run.logits)
    rows = torch.arange(len(circuits) * task.n_pairs, device=outside.device)
    chunks = torch.split(rows, batch_size)
    values = [_measure(task, outside, chunk) for chunk in reported(chunks)]
    means: np.ndarray = torch.cat(values).reshape(len(circuits), task.n_pairs).mean(1).cpu().numpy()
    return means


def _measure(
    task: Task, outside: Float[torch.Tensor, "circuit edge"], rows: Int[torch.Tensor, " row"]
) -> Float[torch.Tensor, " row"]:
    circuits, pairs = rows // task.n_pairs, rows % task.n_pairs
    with torch.no_grad():
        run = task.model.run(task.clean[pairs], task.alternative[pairs], outside[circuits])
        return task.measure(run.logits, pairs).double().cpu()
