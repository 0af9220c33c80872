"""Optimal ablation: what removed edges read is a constant that is learned along with the masks."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from knowncircuits.evaluation.methods.descent import descend
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate, Seed, Weight
from knowncircuits.evaluation.methods.noise import noise_for
from knowncircuits.evaluation.methods.ugs import BETAS, CLIP, START, windowed_loss
from knowncircuits.evaluation.task import Task


def optimal_ablation(
    task: Task,
    *,
    regularisation: Weight = 0.001,
    node_regularisation: Weight = 0.0002,
    steps: Count = 6000,
    learning_rate: Rate = 0.05,
    constant_rate: Rate = 0.002,
    pairs: Count = 5,
    masks: Count = 12,
    seed: Seed = 0,
) -> Attribution:
    """As `ugs`, where removed edges read the constant that loses least, one for every source.

    Optimal ablation (Li and Janson, 2024, "Optimal ablation for interpretability"), in their way of
    finding circuits: uniform gradient sampling, see `ugs`, while a constant for what every source
    writes, at first its mean over inputs and positions, is trained on the same loss (AdamW without
    decay, learning rate 0.002). As published: 6,000 steps, and learning rates that corrupted inputs
    do not lower. Ranks as signed: higher is more in the circuit; above 0 an edge is rather kept.

    It is a method and no ablation of the task, since which constant loses least depends on which
    edges read it. Corrupted values are not looked at, so that the inputs are both those of the
    pairs, clean and corrupted, each held against its own unpatched run: clean inputs alone, of
    which all have a property where pairs have a direction, would be served by a constant that says
    so. Departures beside those of `ugs`: masks in between move the constants, too (there, masks of
    0 alone), constants are as wide as the residual stream (a head's there as its values), and edges
    out of nodes that read constants alone are not removed beforehand.

    Args:
        task: what to look at; its ablation plays no part.
        regularisation: what it costs to keep an edge, in units of the metric.
        node_regularisation: what it costs to keep a first edge of a head, beside that.
        steps: of training.
        learning_rate: of the log odds.
        constant_rate: the learning rate of the constants.
        pairs: inputs that are seen in each step, drawn at random.
        masks: that are drawn for each input in each step.
        seed: of inputs and masks.

    Cost: 4 forward passes for each pair, and pairs x masks forward and as many backward passes in
    each step, 360,000 by default.
    """
    inputs = both_inputs(task)
    outputs, noise = inputs.clean_run.outputs, noise_for(inputs, seed)
    constants = outputs.to(noise.like).mean((0, 2)).requires_grad_()
    log_odds = noise.like.new_full((task.graph.n_edges,), START).requires_grad_()

    def alternative(_: Int[Tensor, " row"]) -> Float[Tensor, "1 source pos d_model"]:
        return constants[None, :, None].expand(1, -1, outputs.shape[2], -1).to(outputs.dtype)

    sizes, costs = (pairs, masks), (regularisation, node_regularisation)
    loss = windowed_loss(inputs, log_odds, noise, sizes, costs, alternative)
    optimizer = torch.optim.AdamW(
        [
            {"params": [log_odds], "lr": learning_rate, "betas": BETAS},
            {"params": [constants], "lr": constant_rate},
        ],
        weight_decay=0,
    )
    descend(loss, optimizer, steps, shorten=lambda: clip_grad_norm_([log_odds], CLIP))
    runs = steps * pairs * masks
    values = log_odds.detach().double().cpu().numpy()
    return Attribution(values, 4 * task.n_pairs + runs, runs)


def both_inputs(task: Task) -> Task:
    """The task with twice as many pairs: each also the other way round."""
    return replace(
        task,
        clean=torch.cat([task.clean, task.corrupted]),
        corrupted=torch.cat([task.corrupted, task.clean]),
        counts=torch.cat([task.counts, task.counts]),
    )
