"""How much of what a model does its circuits of growing size do on their own: f, CPR and CMD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from jaxtyping import Int

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, of_input
from knowncircuits.errors import GraphError, UnknownNameError
from knowncircuits.evaluation.choices import RESOLUTION, Construction, RankBy, SizeBy
from knowncircuits.evaluation.faithfulness.circuits import (
    BATCH_SIZE,
    circuit_faithfulness,
    true_circuit,
)
from knowncircuits.evaluation.faithfulness.construction import (
    as_members,
    edge_order,
    prune,
)
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.task import Task
from knowncircuits.exchange import merge_scores
from knowncircuits.graph import Graph
from knowncircuits.shown import Card, Shown, Table

if TYPE_CHECKING:
    import pandas as pd

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, repr=False)
class Faithfulness(Shown):
    """f of circuits of growing size out of one method's scores, with all its conventions."""

    name: str  # the task's
    method: str
    metric: str
    ablation: str
    n_pairs: int
    construction: str  # top-n or greedy
    rank_by: str  # absolute or signed
    resolution: float  # scores that this share of the largest does not tell apart were ties
    pruned: bool  # whether edges on no path from an input to logits were left out
    size_by: str  # which size stands for a circuit on the axis: nominal or actual
    merged: bool  # whether embed and pos counted as one input
    shares: tuple[float, ...]  # of all edges that were asked for
    nominal: tuple[int, ...]  # so many edges: the shares, rounded down
    actual: tuple[int, ...]  # edges that were left when pruned
    f: tuple[float, ...]
    n_edges: int  # of the graph
    true_size: int | None = None  # edges of the true circuit, where it was given
    true_f: float | None = None  # and its faithfulness

    def _card(self) -> Card:
        how = f"{self.construction}, {self.ablation}, {self.n_pairs} pairs"
        facts = (f"{self.method}: CPR {self.cpr:.4f}", f"CMD {self.cmd:.4f}", how)
        return Card(self.name, facts, self._tables)

    def _tables(self) -> list[Table]:
        sizes = zip(self.axis, self.nominal, self.actual, self.f, strict=True)
        columns = ("share of edges", "edges asked for", "edges left", "f")
        return [Table(f"Faithfulness by size, {self.metric}", columns, [*sizes])]

    @property
    def axis(self) -> tuple[float, ...]:
        """The share of edges at which each f stands."""
        if self.size_by == "nominal":
            return self.shares
        return tuple(size / self.n_edges for size in self.actual)

    @property
    def cpr(self) -> float:
        """Circuit performance ratio: the area under f; large is good."""
        return area(self.axis, self.f)

    @property
    def cmd(self) -> float:
        """Circuit-model distance: the area between f and 1; 0 is best."""
        return area(self.axis, [abs(1 - f) for f in self.f])

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, with the two areas."""
        return {**asdict(self), "cpr": self.cpr, "cmd": self.cmd}

    def to_frame(self) -> pd.DataFrame:
        """Tidy: a row for each size, with all conventions in every row."""
        import pandas as pd

        fields = {**self.to_dict(), "axis": self.axis}
        columns = ("shares", "axis", "nominal", "actual", "f")
        names = {"shares": "share"}
        rows = pd.DataFrame({names.get(c, c): fields.pop(c) for c in columns})
        return rows.assign(**fields)


def area(shares: Sequence[float], values: Sequence[float]) -> float:
    """The integral over the share of edges by the trapezoidal rule, on a linear axis.

    From the first share to the last, as MIB's code has it: what lies below 0.1% of the edges counts
    as nothing, so that f = 1 throughout has an area of 0.999 at the default shares. As MIB's axis
    is linear, half of the area comes from circuits of more than half of all edges.
    """
    heights = np.asarray(values, dtype=float)
    return float(np.diff(shares) @ (heights[1:] + heights[:-1]) / 2)


@takes(task=Task, scores=Scores, truth=Circuit | None)
def faithfulness(
    task: Task,
    scores: Scores,
    truth: Circuit | None = None,
    *,
    construction: Construction = "top-n",
    rank_by: RankBy | None = None,
    resolution: float = RESOLUTION,
    pruned: bool = True,
    size_by: SizeBy = "nominal",
    shares: Sequence[float] = SHARES,
    merged: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Faithfulness:
    """How much circuits of growing size out of a method's scores do of what the model does.

    Mueller et al. (2025), "MIB: A Mechanistic Interpretability Benchmark". The faithfulness of a
    circuit is f(C) = (m(C) - m(∅)) / (m(N) - m(∅)), m being the metric of the run in which all
    edges outside C are patched, N the whole model; see `circuits`. CPR is the area under f over the
    share of edges, CMD the area between f and 1; see `area`. All sizes and pairs are one batch.

    Args:
        task: model, pairs, metric and ablation; they need not be those that the scores are from.
        scores: what the circuits are made of.
        truth: the true circuit, whose own faithfulness is returned beside.
        construction: `top-n` or `greedy`; see `construction`.
        rank_by: `absolute` or `signed`; by default as the method ranks.
        resolution: scores that this share of the largest does not tell apart are ties, see
            `ranking.at_resolution`.
        pruned: leave out edges that lie on no path from an input to logits.
        size_by: whether f stands at the share that was asked for (`nominal`), as in MIB, or at the
            share of edges that were left when pruned (`actual`).
        shares: of the edges, growing; each is rounded down to whole edges.
        merged: count and patch the edges out of `embed` and `pos` together, as MIB does, whose
            graphs have one node `input`; see `merge_scores`. CPR and CMD of a small model then
            differ by up to 0.02, since there are fewer edges: 110 instead of 137 in two layers of
            four heads.
        batch_size: runs at a time, of one circuit and one pair each.

    Cost: n_pairs forward passes for each size, beside the clean and corrupted ones.

    Raises:
        GraphError: for scores or a truth of another graph, or shares that do not grow from above 0
            to at most 1.
        UnknownNameError: for another construction, ranking or size.
        InputError: for a resolution that is not from 0 to below 1.
        TaskError: where patching every edge does not make the metric grow.
    """
    whole = task.graph
    for what in (scores, truth):
        if what is not None and what.graph != whole:
            raise GraphError(f"expected a graph of {whole.summary()}, got {what.graph.summary()}")
    if merged:
        graph = whole.merge_inputs()
        values = merge_scores(whole, scores.values, rank_by or scores.rank_by)
        scores = replace(scores, graph=graph, values=values, by_pair=None, by_position=None)
        truth = truth and truth.merge_inputs()
    graph = scores.graph
    if size_by not in get_args(SizeBy):
        raise UnknownNameError("size", size_by, get_args(SizeBy))
    sizes = edge_counts(graph.n_edges, shares)
    order = edge_order(scores, construction, rank_by, resolution)
    circuits = np.array([as_members(graph, order[:size]) for size in sizes])
    if pruned:
        circuits = np.array([prune(graph, circuit) for circuit in circuits])
    known = np.array([true_circuit(truth)] if truth else []).reshape(-1, graph.n_edges).astype(bool)
    members = np.concatenate([circuits, known])[:, merged_places(whole, graph)]
    f = circuit_faithfulness(task, members, batch_size=batch_size)
    return Faithfulness(
        name=task.name,
        method=scores.method,
        metric=task.metric,
        ablation=task.ablation,
        n_pairs=task.n_pairs,
        construction=construction,
        rank_by=rank_by or scores.rank_by,
        resolution=resolution,
        pruned=pruned,
        size_by=size_by,
        merged=merged,
        shares=tuple(map(float, shares)),
        nominal=tuple(sizes),
        actual=tuple(circuits.sum(1).tolist()),
        f=tuple(f[: len(sizes)].tolist()),
        n_edges=graph.n_edges,
        true_size=int(known.sum()) if truth else None,
        true_f=float(f[-1]) if truth else None,
    )


def merged_places(whole: Graph, graph: Graph) -> Int[np.ndarray, " edge"]:
    """For each edge of the task's graph its place in the graph that is counted."""
    if whole == graph:
        return np.arange(whole.n_edges)
    return np.array([graph.index(of_input(edge)) for edge in whole.edges])


def edge_counts(n_edges: int, shares: Sequence[float]) -> list[int]:
    """Whole edges for each share, rounded down as in MIB; 0.29 of 100 edges are 29.

    Raises GraphError for shares that do not grow from above 0 to at most 1.
    """
    steps = np.diff([0, *shares])
    if not len(shares) or not (steps > 0).all() or not max(shares) <= 1:
        raise GraphError(f"expected shares that grow from above 0 to at most 1, got {shares}")
    return [int(share * n_edges + 1e-9) for share in shares]
