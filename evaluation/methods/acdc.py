"""Automatic circuit discovery: edges are removed one after another unless that costs too much."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph
from knowncircuits.work.progress import reported

# Half decades over what a metric may lie between, from noise to nats.
THRESHOLDS = tuple(float(f"{x:.3g}") for x in np.geomspace(1e-5, 10, 13))
ROOM = 2**24  # numbers in the masks and outputs of the runs at a time
FEWEST = 4  # decisions that are guessed at a time, after a wrong guess

State = Bool[np.ndarray, " edge"]  # which edges are removed
States = Bool[np.ndarray, "state edge"]


def acdc(
    task: Task, *, thresholds: Sequence[Rate] = THRESHOLDS, batch_size: Count = 2048
) -> Attribution:
    """The largest threshold at which ACDC keeps an edge; 0 where none keeps it.

    Conmy et al. (2023), "Towards automated circuit discovery for mechanistic interpretability".
    Edges are tried one by one in reverse topological order: an edge is removed, to read the
    alternative from then on, if that makes the metric grow by less than the threshold over what it
    is with all edges removed so far. As in the authors' code, destinations come from late to early
    (a layer's MLP, then its v, k and q inputs, heads from last to first), and the sources of each
    by layers from late to early, heads of a layer from first to last. Ranks as signed: higher is
    more in the circuit, with many ties.

    Decisions are those of the sequential algorithm, although many edges are tried in one batch:
    decisions are guessed, at first that all edges go and then that they fall as at the threshold
    before, the states that follow are measured at once, and those up to the first wrong guess
    count. A state met before is not run again, nor one that differs from it only in edges into
    nodes that nothing reads any more, or out of inputs that are the same in clean and corrupted.

    Args:
        task: what to look at.
        thresholds: all above 0, in any order.
        batch_size: runs at a time, of one state and one pair each.

    Cost: as published, n_pairs * (n_edges + 1) forward passes for each threshold
    (`details["sequential_forward_passes"]`); `forward_passes` counts those that were needed.

    Raises MethodError for no thresholds, or one that is not above 0.
    """
    if not len(thresholds) or not min(thresholds) > 0:
        raise MethodError(f"expected thresholds above 0, got {list(thresholds)}")
    order, trials = removal_order(task.graph), _Trials(task, batch_size)
    scores = np.zeros(task.graph.n_edges)
    removed = np.ones(task.graph.n_edges, dtype=bool)
    for threshold in reported(sorted(thresholds, reverse=True)):
        removed = _prune(order, threshold, removed, trials)
        scores[(scores == 0) & ~removed] = threshold
    sequential = len(thresholds) * (task.graph.n_edges + 1) * task.n_pairs
    return Attribution(
        scores,
        2 * task.n_pairs + trials.n_states * task.n_pairs,
        details={"sequential_forward_passes": sequential},
    )


def removal_order(graph: Graph) -> Int[np.ndarray, " edge"]:
    """The edges in the order in which ACDC tries them."""
    layers = np.array([graph.depth(source) for source in graph.sources])
    source, destination = graph.source_of_edge, graph.destination_of_edge
    order: Int[np.ndarray, " edge"] = np.lexsort((source, -layers[source], -destination))
    return order


class _Trials:
    """The metric, mean of pairs, of states of the model; each state is run once."""

    def __init__(self, task: Task, batch_size: int) -> None:
        self.task, self.graph = task, task.graph
        # Runs; no more of them than masks and what all sources write leave room for.
        n_runs = max(1, min(batch_size, ROOM // (self.graph.n_edges + task.alternative[0].numel())))
        self.at_once = max(1, n_runs // task.n_pairs)  # states, if there is room for all pairs
        self.pairs = torch.split(torch.arange(task.n_pairs, device=task.clean.device), n_runs)
        self.n_states = 0
        self._known: dict[bytes, float] = {}
        n_inputs = len(self.graph.inputs)
        moves = task.clean_run.outputs[:, :n_inputs] != task.alternative[:, :n_inputs]
        still = ~moves.flatten(2).any(2).any(0).cpu().numpy()
        # Edges that never matter; then, node by node from the last, its edges out and in.
        self._idle = np.append(still, [False] * (len(self.graph.sources) - n_inputs))[
            self.graph.source_of_edge
        ]
        source, target = self.graph.source_of_edge, self.graph.target_of_edge
        # A key that several heads share is read while any of them is.
        alone = np.bincount(self.graph.feeds[0]) == 1
        self._around = [
            (np.flatnonzero(source == node), np.flatnonzero(alone & (target == node)))
            for node in reversed(range(n_inputs, len(self.graph.sources)))
        ]

    def measure(self, states: States) -> list[float]:
        """The metric of each state, in order."""
        same = self._widen(states)
        keys = [blake2b(state.tobytes(), digest_size=16).digest() for state in same]
        fresh = {key: i for i, key in enumerate(keys) if key not in self._known}
        chosen = np.fromiter(fresh.values(), dtype=int)
        for part in np.split(chosen, range(self.at_once, len(chosen), self.at_once)):
            if len(part):
                values = self._run(same[part])
                self._known.update(zip((keys[i] for i in part), values, strict=True))
        return [self._known[key] for key in keys]

    def _widen(self, states: States) -> States:
        """The states with all edges removed too that make no difference there."""
        wide: States = states | self._idle
        for out, into in self._around:
            unread = wide[:, out].all(1)
            wide[np.ix_(unread, into)] = True
        return wide

    def _run(self, states: States) -> list[float]:
        self.n_states += len(states)
        values = torch.cat([self._values(states, pairs) for pairs in self.pairs], 1)
        return values.mean(1).tolist()

    def _values(self, states: States, pairs: Int[Tensor, " pair"]) -> Float[Tensor, "state pair"]:
        """The metric of each of these pairs in each state."""
        task, rows = self.task, pairs.repeat(len(states))
        alternative = task.alternative[rows]
        mask = torch.from_numpy(states).to(alternative).repeat_interleave(len(pairs), 0)
        with torch.no_grad():
            logits = task.model.run(task.clean[rows], alternative, mask).logits
            return task.measure(logits, rows).double().reshape(len(states), len(pairs))


def _prune(
    order: Int[np.ndarray, " edge"], threshold: float, guess: State, trials: _Trials
) -> State:
    """The edges that ACDC removes; `guess` says which these may be."""
    removed = np.zeros(len(order), dtype=bool)
    value = trials.measure(removed[None])[0]
    start, ahead = 0, FEWEST
    while start < len(order):
        edges = order[start : start + ahead]
        # What each edge's removal leads to, if the decisions before it fall as guessed.
        states = np.tile(removed, (len(edges), 1))
        for i, edge in enumerate(edges):
            states[i, edge] = True
            states[i + 1 :, edge] = guess[edge]
        ahead = min(2 * ahead, max(FEWEST, ROOM // len(order)))
        for edge, state, after in zip(edges, states, trials.measure(states), strict=True):
            start += 1
            remove = after - value < threshold
            if remove:
                removed, value = state, after
            if remove != guess[edge]:
                ahead = FEWEST
                break
    return removed
