"""Gradients at every edge of large models, pair by pair, without masks.

A mask's gradient asks for what every destination reads, apart from all others, throughout the pass.
Small models pay little for that. Large ones are walked back block by block instead; see
`knowncircuits.edge_gradients`. Both ways give the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.edge_gradients import EdgeProducts, walk_back
from knowncircuits.evaluation.methods.parts import parts, runs_in
from knowncircuits.evaluation.task import Task
from knowncircuits.transformer import Transformer

LARGE = 2**20  # numbers that the destinations read in one run: smaller models are run with masks
# Numbers that all sources write in the runs of one batch. About seven times as many are in memory:
# clean and corrupted runs, their difference, what is recorded on the way forward, and what comes of
# one group of destinations.
ROOM = 2**26

GradientsAt = Literal["clean", "corrupted"]
ByPair = Float[Tensor, "pair edge"]


def is_large(task: Task) -> bool:
    """Whether gradients are found without masks: for our own models, from a size on."""
    if not isinstance(task.model, Transformer):
        return False
    return len(task.graph.destinations) * task.clean.shape[1] * task.model.config.d_model >= LARGE


def first_order(
    task: Task, at: GradientsAt, batch_size: int, rules: BackwardRules = PLAIN
) -> Iterator[ByPair]:
    """Gradients at the clean or the corrupted run, times the task's differences, of some pairs.

    Seen from the corrupted run patched edges lead the other way, and so to the same product.
    """
    n_inputs = len(task.graph.inputs)
    for part in parts(task, ROOM, batch_size):
        run = part.clean_run if at == "clean" else part.corrupted_run
        stream = run.outputs[:, :n_inputs].sum(1)
        yield _products(part, stream, stream.new_ones(1), rules)


def along_inputs(
    task: Task,
    shares: Float[np.ndarray, " step"],
    weights: Float[np.ndarray, " step"],
    batch_size: int,
) -> Iterator[ByPair]:
    """As `first_order`, while the inputs go to the alternative by these shares; weighted sums."""
    n_inputs = len(task.graph.inputs)
    for part in parts(task, ROOM, batch_size):
        start = part.clean_run.outputs[:, :n_inputs].sum(1).detach()
        move = part.differences[:, :n_inputs].sum(1)
        found = start.new_zeros(part.n_pairs, part.graph.n_edges)
        n_rows = min(batch_size, runs_in(task, _model(task), ROOM))
        at_once = max(1, n_rows // part.n_pairs)
        points = (torch.split(torch.from_numpy(x).to(start), at_once) for x in (shares, weights))
        for share, weight in zip(*points, strict=True):
            stream = start + share[:, None, None, None] * move
            found += _products(part, stream.flatten(0, 1), weight)
        yield found


def _products(
    task: Task,
    stream: Float[Tensor, "row pos d_model"],
    weights: Float[Tensor, " step"],
    rules: BackwardRules = PLAIN,
) -> ByPair:
    """Of runs from a stream on, all pairs at one step after another."""
    model = _model(task)
    first = 0 if task.own else task.counted[0]  # a user's function may count positions
    pairs = torch.arange(task.n_pairs, device=stream.device).repeat(len(weights))

    def loss(end: Float[Tensor, "row pos d_model"]) -> Float[Tensor, ""]:
        # `measure` is what the clean run has less this.
        value = task.value(model.unembed(end[:, first:], rules), pairs, first=first)
        return -(weights.to(value.dtype).repeat_interleave(task.n_pairs) * value).sum()

    products = EdgeProducts(task.graph, task.differences)
    walk_back(model, stream, loss, products, rules)
    return products.by_pair


def _model(task: Task) -> Transformer:
    assert isinstance(task.model, Transformer)  # `is_large` has asked
    return task.model
