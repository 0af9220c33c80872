"""Shapley values: what an edge changes on average over all orders in which edges are patched."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate, Seed
from knowncircuits.evaluation.task import Task
from knowncircuits.work.progress import reported

FEWEST = 4  # rounds, before an error is believed


def shapley(
    task: Task,
    *,
    error: Rate = 0.02,
    rounds: Count = 1000,
    seed: Seed = 0,
    batch_size: Count = 2048,
) -> Attribution:
    """By how much the metric grows when the edge is patched after those before it, on average.

    Edges are patched one after another, in a random order, until all read the alternative; the mean
    over orders is the edge's Shapley value in the game whose players are edges and whose worth is
    the metric (Shapley, 1953; sampled as by Castro, Gómez and Tejada, 2009, "Polynomial calculation
    of the Shapley value based on sampling"). Edges that change nothing beside any others have 0,
    edges that do the same have the same, and all sum to the metric of the corrupted run: k copies
    of which one is enough have 1/k each, where patches of single edges (`exact`) say 0. Ranks by
    absolute values.

    A round draws one order for each pair of inputs, and its reverse, which is another order as
    likely and brings the mean near faster. Rounds go on until the standard error of every edge's
    value, over rounds, is a share of the greatest value; pairs of inputs are those of the task, and
    their choice is no part of the error. Edges whose source writes the same either way
    are no players of a pair.

    Args:
        task: what to look at.
        error: the largest standard error, as a share of the greatest value.
        rounds: the most there are; where the error is larger then, `details` says so.
        seed: of the orders.
        batch_size: patched runs at a time, of one pair and one set of edges each.

    Cost: 2 forward passes for each pair and edge in each round. `details` has the rounds and the
    greatest standard error, as a share of the greatest value.

    Raises MethodError for fewer than FEWEST rounds.
    """
    if rounds < FEWEST:
        raise MethodError(f"expected at least {FEWEST} rounds, got {rounds}")
    game = _Game(task, batch_size)
    rng = np.random.default_rng(seed)
    total, squares, n = np.zeros(task.graph.n_edges), np.zeros(task.graph.n_edges), 0
    found = np.inf
    for _ in reported(range(rounds)):
        values = game.round(rng)
        total, squares, n = total + values, squares + values**2, n + 1
        mean = total / n
        if n >= FEWEST:
            spread = np.sqrt(np.clip(squares / n - mean**2, 0, None) / (n - 1))
            greatest = np.abs(mean).max()
            found = float(spread.max() / greatest) if greatest else 0.0
            if found <= error:
                break
    return Attribution(
        total / n,
        2 * task.n_pairs + game.n_runs,
        details={"rounds": n, "standard_error": found},
    )


class _Game:
    """The metric of sets of edges of a task, along random orders."""

    def __init__(self, task: Task, batch_size: int) -> None:
        self.task, self.batch_size, self.n_runs = task, batch_size, 0
        differs = (task.differences != 0).flatten(2).any(2).cpu().numpy()  # [pair, source]
        self.players: Bool[np.ndarray, "pair edge"] = differs[:, task.graph.source_of_edge]

    def round(self, rng: np.random.Generator) -> Float[np.ndarray, " edge"]:
        """What edges add, mean over pairs and two orders of each."""
        drawn = rng.random(self.players.shape)
        places = np.argsort(np.argsort(np.where(self.players, drawn, 2.0)))  # players come first
        n_players = self.players.sum(1)
        reverse = n_players[:, None] - 1 - places
        total = np.zeros(self.task.graph.n_edges)
        for order in (places, reverse):
            order = np.where(self.players, order, self.task.graph.n_edges)
            worths = self._along(order, n_players)
            pairs, edges = np.nonzero(self.players)
            at = order[pairs, edges]
            added = worths[pairs, at] - np.where(at > 0, worths[pairs, at - 1], 0.0)
            total += np.bincount(edges, added, len(total))
        return total / (2 * self.task.n_pairs)

    def _along(
        self, order: Int[np.ndarray, "pair edge"], n_players: Int[np.ndarray, " pair"]
    ) -> Float[np.ndarray, "pair player"]:
        """The metric of each pair's first one, two, three, ... edges of its order."""
        task = self.task
        worths = np.zeros(order.shape)
        rows, lasts = np.nonzero(np.arange(order.shape[1]) < n_players[:, None])
        for start in range(0, len(rows), self.batch_size):
            row, last = (x[start : start + self.batch_size] for x in (rows, lasts))
            pairs = torch.from_numpy(row).to(task.clean.device)
            alternative = task.alternative[pairs]
            mask = torch.from_numpy(order[row] <= last[:, None]).to(alternative)
            with torch.no_grad():
                logits = task.model.run(task.clean[pairs], alternative, mask).logits
                worths[row, last] = task.measure(logits, pairs).double().cpu().numpy()
        self.n_runs += len(rows)
        return worths
