"""Components patched one at a time: what gradients of components approximate."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.evaluation.choices import Level
from knowncircuits.evaluation.components.parts import ComponentScores, Parts, Rows, parts_of
from knowncircuits.evaluation.task import Task
from knowncircuits.patching import Values, single_patches
from knowncircuits.work.progress import reported_parts


@takes(task=Task)
def component_effects(
    task: Task, level: Level = "node", *, per_position: bool = False, batch_size: int | None = None
) -> ComponentScores:
    """How far the output moves when one component of the clean run has its corrupted value.

    Activation patching (Vig et al., 2020; Meng et al., 2022; Heimersheim and Nanda, 2024) of nodes,
    heads or neurons, everything behind them computed anew. Positive where behaviour is lost.

    Args:
        task: what to look at; its ablation says what the corrupted value is.
        level: `node`, all that write; `head`; or `neuron`, the hidden units of MLPs.
        per_position: each component at one position at a time.
        batch_size: patched runs at a time; by default as suits the model's sizes.

    Returns:
        The effect of each component on each pair.

    Cost: up to n_pairs * components (* positions) forward passes, of which our own models compute
    what is behind the component. Components that do not move are not run: their effect is 0.

    Raises:
        UnknownNameError: for another level.
        ModelError: for neurons of a model that does not show them.
    """
    parts = parts_of(task, level)
    items = moved_items(parts, per_position)
    pairs, components = items[:, 0], items[:, 1]
    effects = empty_effects(parts, per_position)
    clean = task.clean_run

    def values(rows: Rows) -> Float[Tensor, "chunk pos d_model"]:
        moves = item_differences(parts, items[rows])
        return clean.outputs[pairs[rows], parts.sources[components[rows]]] + moves

    with torch.no_grad():
        for rows, logits in run_items(task, parts, items, values, batch_size):
            put(effects, items[rows], task.measure(logits, pairs[rows]))
    return ComponentScores(
        level,
        "exact",
        parts.names,
        effects.cpu().numpy(),
        {"per_position": per_position},
        2 * task.n_pairs + len(items),
    )


def moved_items(parts: Parts, per_position: bool) -> Int[Tensor, "item part"]:
    """Pair, component (and position) wherever the component moves."""
    moved = parts.moved
    return (moved if per_position else moved.any(2)).nonzero()


def empty_effects(parts: Parts, per_position: bool) -> Float[Tensor, "pair component *pos"]:
    """Zeros for every component of every pair."""
    n_pairs, n_pos = parts.task.clean.shape
    shape = (n_pairs, len(parts.names), *([n_pos] * per_position))
    return torch.zeros(shape, dtype=torch.float64, device=parts.task.clean.device)


def item_differences(
    parts: Parts, items: Int[Tensor, "item part"]
) -> Float[Tensor, "item pos d_model"]:
    """How far what is written moves with each item: at its position alone, where it has one."""
    moves = parts.differences(items[:, 0], items[:, 1])
    if items.shape[1] == 2:
        return moves
    own = torch.arange(moves.shape[1], device=moves.device) == items[:, 2:]
    return moves * own[..., None].to(moves.dtype)


def run_items(
    task: Task,
    parts: Parts,
    items: Int[Tensor, "item part"],
    values: Values,
    batch_size: int | None,
) -> Iterator[tuple[Rows, Float[Tensor, "chunk pos d_vocab_out"]]]:
    """Runs in which the source of each item's component writes the values; see `SinglePatches`."""
    if not len(items):
        return
    patches = single_patches(task.model, task.clean, task.clean_run, n_rows=batch_size)
    runs = patches.nodes(parts.sources[items[:, 1]], items[:, 0], values)
    yield from reported_parts(runs, len(items), lambda found: len(found[0]))


def put(
    effects: Float[Tensor, "pair component *pos"],
    items: Int[Tensor, "item part"],
    amounts: Float[Tensor, " item"],
) -> None:
    """Add an amount to the effect of each item."""
    effects.index_put_(items.unbind(1), amounts.double(), accumulate=True)
