"""Whether a circuit holds all that a model uses, and nothing that it does not use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit
from knowncircuits.errors import GraphError
from knowncircuits.evaluation.faithfulness.circuits import (
    BATCH_SIZE,
    circuit_faithfulness,
    true_circuit,
)
from knowncircuits.evaluation.task import Task

Members = Bool[np.ndarray, " edge"]
Sets = Bool[np.ndarray, "set edge"]


@dataclass(frozen=True)
class Completeness:
    """How far a circuit and the whole model are apart when both lose the same edges."""

    name: str  # the task's
    metric: str
    ablation: str
    n_pairs: int
    size: int  # edges of the circuit
    n_subsets: int  # sets of edges that were taken out, beside all of them
    enumerated: bool  # whether they are all subsets
    seed: int
    worst: float  # incompleteness, over all sets
    mean: float  # over the subsets
    without_circuit: float  # with the whole circuit taken out
    truth: Completeness | None = None  # the same of the true circuit

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Minimality:
    """The most that each edge of a circuit matters in it."""

    name: str  # the task's
    metric: str
    ablation: str
    n_pairs: int
    n_subsets: int  # sets of edges that were taken out before, the empty one among them
    seed: int
    edges: Mapping[str, float]  # of the circuit, in the graph's order
    truth: Minimality | None = None  # the same of the true circuit

    @property
    def least(self) -> float | None:
        """The change by the edge that matters least; None for no edges."""
        return min(self.edges.values(), default=None)

    def needless(self, tolerance: float = 0.01) -> tuple[str, ...]:
        """The edges that never matter by more than the tolerance."""
        return tuple(edge for edge, change in self.edges.items() if change <= tolerance)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, with the least."""
        return {**asdict(self), "least": self.least}


@takes(task=Task, circuit=np.ndarray, truth=Circuit | None)
def completeness(
    task: Task,
    circuit: Members,
    truth: Circuit | None = None,
    *,
    n_subsets: int = 32,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Completeness:
    """How differently a circuit and the model react when the same edges are taken out of both.

    Wang et al. (2023), "Interpretability in the wild: a circuit for indirect object identification
    in GPT-2 small". The incompleteness of a circuit C of a model M for a set K of its edges is
    `|F(C∖K) - F(M∖K)|`: 0 where the circuit has all that the model uses, also what steps in for
    something that is gone. F is `circuit_faithfulness` here, so 1 stands for all that the model
    does. K are random subsets, each edge taken with probability 1/2, or all subsets where there are
    no more than `n_subsets`; and C itself, for which `|F(∅) - F(M∖C)|` says how much is left in the
    model without the circuit. The authors take out heads; here it is edges.

    Args:
        task: says what patched edges read, and how distance is measured.
        circuit: True for edges that are in.
        truth: the true circuit, of which the same is measured.
        n_subsets: how many.
        seed: of the subsets.
        batch_size: runs at a time, of one circuit and one pair each.

    Cost: 2 (n_subsets + 1) n_pairs forward passes, for each of the two circuits.

    Raises:
        GraphError: for a circuit or a truth of another graph, or fewer than one subset.
        TaskError: where patching every edge does not make the metric grow.
    """
    _check(task, circuit, truth, n_subsets)
    settings = {"n_subsets": n_subsets, "seed": seed, "batch_size": batch_size}
    reference = None if truth is None else completeness(task, true_circuit(truth), None, **settings)
    subsets, enumerated = draw_subsets(circuit, n_subsets, seed)
    removed = np.concatenate([subsets, circuit[None]])
    circuits = np.concatenate([circuit & ~removed, ~removed])
    f = circuit_faithfulness(task, circuits, batch_size=batch_size).reshape(2, -1)
    apart = np.abs(f[0] - f[1])
    return Completeness(
        name=task.name,
        metric=task.metric,
        ablation=task.ablation,
        n_pairs=task.n_pairs,
        size=int(circuit.sum()),
        n_subsets=len(subsets),
        enumerated=enumerated,
        seed=seed,
        worst=float(apart.max()),
        mean=float(apart[:-1].mean()),
        without_circuit=float(apart[-1]),
        truth=reference,
    )


@takes(task=Task, circuit=np.ndarray, truth=Circuit | None)
def minimality(
    task: Task,
    circuit: Members,
    truth: Circuit | None = None,
    *,
    n_subsets: int = 8,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Minimality:
    """The most that each edge of a circuit matters, perhaps only when others are gone.

    Wang et al. (2023): a circuit C is minimal if for each of its parts v there is a set K such that
    `|F(C∖(K ∪ {v})) - F(C∖K)|` is large. Here parts are edges, F is `circuit_faithfulness`, and an
    edge's number is the largest of these changes over the sets tried: nothing, and random subsets
    of C without v, each edge taken with probability 1/2 (all subsets where there are no more than
    `n_subsets`). The same subsets serve all edges, each with v taken out of or put into them.

    Args: see `completeness`.

    Cost: up to n_subsets (edges of the circuit + 1) n_pairs forward passes, for each of the two
    circuits.

    Raises: as `completeness`.
    """
    _check(task, circuit, truth, n_subsets)
    settings = {"n_subsets": n_subsets, "seed": seed, "batch_size": batch_size}
    reference = None if truth is None else minimality(task, true_circuit(truth), None, **settings)
    subsets, _ = draw_subsets(circuit, n_subsets, seed)
    subsets[0] = False  # the empty one is always there
    places = np.flatnonzero(circuit)
    flipped = subsets[:, None].repeat(len(places), 1)  # [subset, edge v, edge]
    flipped[:, np.arange(len(places)), places] ^= True
    removed = np.concatenate([subsets[:, None], flipped], 1)
    left = (circuit & ~removed).reshape(-1, len(circuit))
    f = circuit_faithfulness(task, left, batch_size=batch_size).reshape(len(subsets), -1)
    most = np.abs(f[:, 1:] - f[:, :1]).max(0)
    names = (task.graph.edges[i] for i in places)
    return Minimality(
        name=task.name,
        metric=task.metric,
        ablation=task.ablation,
        n_pairs=task.n_pairs,
        n_subsets=len(subsets),
        seed=seed,
        edges=dict(zip(names, most.tolist(), strict=True)),
        truth=reference,
    )


def draw_subsets(circuit: Members, n: int, seed: int) -> tuple[Sets, bool]:
    """Subsets of a circuit's edges: all, the empty one first, if there are at most n, else random.

    Says beside whether they are all.
    """
    places = np.flatnonzero(circuit)
    enumerated = 2 ** len(places) <= n
    if enumerated:
        chosen = np.arange(2 ** len(places))[:, None] >> np.arange(len(places)) & 1 == 1
    else:
        chosen = np.random.default_rng(seed).random((n, len(places))) < 0.5
    subsets = np.zeros((len(chosen), len(circuit)), dtype=bool)
    subsets[:, places] = chosen
    return subsets, enumerated


def _check(task: Task, circuit: Members, truth: Circuit | None, n_subsets: int) -> None:
    if circuit.dtype != bool:
        raise GraphError(
            f"expected a circuit of True and False, got {circuit.dtype}; of scores pass "
            "top_n(scores, n)"
        )
    if circuit.shape != (task.graph.n_edges,):
        raise GraphError(
            f"expected a circuit of shape [{task.graph.n_edges}], got {list(circuit.shape)}"
        )
    if truth is not None and truth.graph != task.graph:
        raise GraphError(f"expected a graph of {task.graph.summary()}, got {truth.graph.summary()}")
    if n_subsets < 1:
        raise GraphError(f"expected at least one subset, got {n_subsets}")
