"""The truth on each pair: of a circuit the edges that have a part in that one answer."""

from __future__ import annotations

from dataclasses import replace

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import TaskError
from knowncircuits.evaluation.task import Task
from knowncircuits.evaluation.truth.known import known_sets
from knowncircuits.models.trained import Trained
from knowncircuits.models.wired.wired import Wired
from knowncircuits.work.progress import reported


@takes(subject=Compiled | Trained | Wired, task=Task)
def pair_circuits(
    subject: Compiled | Trained | Wired, task: Task, pairs: str = "resample"
) -> list[Circuit]:
    """For each pair of a task the edges that matter there, alone or in company.

    All sets of edges inside are tried on that pair. An edge of the circuit that changes its answer
    beside no set of others is out there: a flag that is off in both inputs, say.

    Args:
        subject: the task's model, with its case.
        task: whose pairs count.
        pairs: how clean and corrupted inputs differ, in the word that the task was made with.

    Raises TaskError for a model whose sets are not known; see `known_sets`.
    """
    found = []
    for pair in reported(range(task.n_pairs)):
        rows = slice(pair, pair + 1)
        one = replace(
            task, clean=task.clean[rows], corrupted=task.corrupted[rows], counts=task.counts[rows]
        )
        circuit = known_sets(subject, one, pairs)
        if circuit.sets is None:
            raise TaskError(
                f"expected a case that names a property of its inputs, and a circuit small enough "
                f"to try all sets of its edges, got {task.name}"
            )
        labels = circuit.labels.copy()
        labels[[circuit.graph.index(edge) for edge in circuit.sets.idle]] = Label.OUT
        found.append(replace(circuit, labels=labels))
    return found
