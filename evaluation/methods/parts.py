"""Tasks in batches of pairs, so that what a method keeps of runs does not grow with the pairs."""

from __future__ import annotations

from collections.abc import Iterator

from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.task import Task
from knowncircuits.transformer import Transformer

# Numbers that all sources write in the runs of a batch, where a method keeps many times as many.
ROOM = 2**23


def parts(task: Task, room: int = ROOM, most: int | None = None) -> Iterator[Task]:
    """The task in batches of pairs for which there is room, each with runs of its own.

    Whole, where the mean over all pairs is what patched edges read, and where the model is not a
    `Transformer`, of which it is not known beforehand what its sources write.

    Args:
        task: of any number of pairs.
        room: numbers that the sources write in the runs of a batch; one pair may write more.
        most: pairs of a batch.

    Raises MethodError for less than one pair in a batch.
    """
    size = task.n_pairs if most is None else most
    if task.ablation == "mean" or not isinstance(task.model, Transformer):
        size = task.n_pairs
    else:
        size = min(size, runs_in(task, task.model, room))
    if size >= task.n_pairs:
        yield task
    else:
        yield from map(task.of_pairs, batches(task.n_pairs, size, task.clean.device))


def runs_in(task: Task, model: Transformer, room: int) -> int:
    """How many runs write so many numbers; at least one."""
    return max(1, room // (len(task.graph.sources) * task.clean.shape[1] * model.config.d_model))
