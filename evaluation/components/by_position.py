"""Edges at single positions: what patching one there does, and how much is read along it."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ShapeError, UnknownNameError
from knowncircuits.evaluation.components.parts import Rows
from knowncircuits.evaluation.methods.gradients import default_run
from knowncircuits.evaluation.methods.peap import first_order_by_position
from knowncircuits.evaluation.task import Task
from knowncircuits.inference import recorded_gradients
from knowncircuits.patching import single_patches
from knowncircuits.primitive import Patchable
from knowncircuits.work.progress import reported_parts

EdgesBy = Literal["exact", "eap"]
Effects = Float[np.ndarray, "edge pos"]


@takes(task=Task)
def edge_effects_by_position(
    task: Task, by: EdgesBy = "exact", *, batch_size: int | None = None
) -> Effects:
    """Score every edge at every position: what it hands on there, and nowhere else, is patched.

    What a source writes at a position is read at that position alone; heads carry it on to others.

    Args:
        task: what to look at.
        by: `exact`, each edge patched at one position at a time; or `eap`, from gradients, which
            over positions come to the score of the method `eap`.
        batch_size: patched runs at a time; by default as suits the model's sizes.

    Returns:
        The mean over pairs; positive where behaviour is lost.

    Cost: up to n_pairs * edges * positions forward passes, of which our own models compute what is
    behind the edge; or 1 backward pass for each pair.

    Raises UnknownNameError for another way.
    """
    if by not in get_args(EdgesBy):
        raise UnknownNameError("way", by, get_args(EdgesBy))
    if by == "exact":
        return _exact(task, batch_size)
    with recorded_gradients():
        return first_order_by_position(task, default_run(task, None), batch_size or 64)


def _exact(task: Task, batch_size: int | None) -> Effects:
    source_of_edge = torch.from_numpy(task.graph.source_of_edge).to(task.clean.device)
    clean, differences = task.clean_run.outputs, task.differences
    moved = (differences != 0).any(-1)[:, source_of_edge]  # [pair, edge, pos]
    pairs, edges, positions = moved.nonzero().unbind(1)
    effects = torch.zeros(moved.shape[1:], dtype=torch.float64, device=clean.device)

    def values(rows: Rows) -> Float[Tensor, "chunk pos d_model"]:
        new = clean[pairs[rows], source_of_edge[edges[rows]]]
        place = torch.arange(len(rows), device=clean.device), positions[rows]
        new[place] += differences[pairs[rows], source_of_edge[edges[rows]], positions[rows]]
        return new

    with torch.no_grad():
        patches = single_patches(task.model, task.clean, task.clean_run, n_rows=batch_size)
        runs = patches.edges(edges, pairs, values)
        for rows, logits in reported_parts(runs, len(edges), lambda found: len(found[0])):
            amounts = task.measure(logits, pairs[rows]).double()
            effects.index_put_((edges[rows], positions[rows]), amounts, accumulate=True)
    found: Effects = (effects / task.n_pairs).cpu().numpy()
    return found


def edge_activations(
    model: Patchable,
    tokens: Int[Tensor, "1 pos"],
    alternative: Float[Tensor, "1 source pos d_model"] | None = None,
    mask: Float[Tensor, "1 edge"] | Float[Tensor, "1 edge pos"] | None = None,
) -> tuple[Effects, Effects]:
    """How much is read along each edge at each position of a run, and how far it is patched.

    That is the length of the vector: of what the source writes in this run, moved towards the
    alternative as far as the mask says.

    Args:
        model: any with the primitive.
        tokens: one input.
        alternative: what patched edges read; see `Transformer.run`.
        mask: how far each does, perhaps at each position.

    Returns:
        Lengths [edge, pos], and the mask at each position.

    Raises ShapeError for several inputs, or as the model's `run` does.
    """
    if tokens.shape[0] != 1:
        raise ShapeError(f"expected tokens of one input [1, pos], got {list(tokens.shape)}")
    source_of_edge = torch.from_numpy(model.graph.source_of_edge).to(tokens.device)
    with torch.no_grad():
        read = model.run(tokens, alternative, mask).outputs[0][source_of_edge]
        reads = torch.zeros(read.shape[:2], dtype=read.dtype, device=read.device)
        if mask is not None and alternative is not None:
            reads = (mask[0] if mask.ndim == 3 else mask[0][:, None]).to(read.dtype)
            reads = reads.expand(read.shape[:2])
            read = read + reads[..., None] * (alternative[0][source_of_edge] - read)
    return read.norm(dim=-1).double().cpu().numpy(), reads.double().cpu().numpy()
