"""Uniform gradient sampling: edges' probabilities, by slopes at masks that are in between."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from knowncircuits.evaluation.methods.descent import descend, mean_metric
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate, Seed, Weight
from knowncircuits.evaluation.methods.noise import Noise, noise_for
from knowncircuits.evaluation.methods.windowed import draw_windowed, heads_and_edges
from knowncircuits.evaluation.task import Task

START = 1.0  # log odds of every edge at first
BETAS = (0.9, 0.995)  # of AdamW
CLIP = 5.0  # the longest gradient

Alternative = Callable[[Int[Tensor, " row"]], Float[Tensor, "#row source pos d_model"]]


def ugs(
    task: Task,
    *,
    regularisation: Weight = 0.001,
    node_regularisation: Weight = 0.0002,
    steps: Count = 3000,
    learning_rate: Rate = 0.01,
    pairs: Count = 5,
    masks: Count = 12,
    seed: Seed = 0,
) -> Attribution:
    """The log odds that an edge is kept, trained to keep the metric low with few edges.

    Uniform gradient sampling (Li and Janson, 2024, "Optimal ablation for interpretability"): every
    step draws masks for each of some pairs, kept or removed by the edges' probabilities, but
    uniform in between with probability p (1 - p), and takes the mean slope there for the gradient
    of p; see `windowed`. Kept edges cost `regularisation` each, and a head `node_regularisation`
    times H/2 tanh(2 n/H), where n is the sum of probabilities of its edges and H the number of
    heads. As published: log odds begin at 1, AdamW without decay and with betas 0.9 and 0.995,
    gradients of 5 at most, 3,000 steps of 5 inputs with 12 masks each; regularisations were swept,
    learning rates follow them (0.05 / 5 for this one and corrupted inputs), and that of heads is
    0.0002 at most. Ranks as signed: higher is more in the circuit; above 0 an edge is rather kept.

    Departures: one run ranks all edges, where the authors cut at 1/2 in runs of a sweep; edges into
    nodes that nothing reads are not removed beforehand, since they change nothing here; BOS is
    patched as other positions are. Their wider windows for edges whose gradients vary more, an
    option there, are not here.

    Args:
        task: what to look at.
        regularisation: what it costs to keep an edge, in units of the metric.
        node_regularisation: what it costs to keep a first edge of a head, beside that.
        steps: of training.
        learning_rate: of the log odds.
        pairs: of the task that are seen in each step, drawn at random.
        masks: that are drawn for each pair in each step.
        seed: of pairs and masks.

    Cost: 2 forward passes for each pair, and pairs x masks forward and as many backward passes in
    each step, 180,000 by default.
    """
    noise = noise_for(task, seed)
    log_odds = noise.like.new_full((task.graph.n_edges,), START).requires_grad_()
    odds_loss = windowed_loss(
        task, log_odds, noise, (pairs, masks), (regularisation, node_regularisation)
    )
    optimizer = torch.optim.AdamW([log_odds], lr=learning_rate, betas=BETAS, weight_decay=0)
    descend(odds_loss, optimizer, steps, shorten=lambda: clip_grad_norm_([log_odds], CLIP))
    runs = steps * pairs * masks
    values = log_odds.detach().double().cpu().numpy()
    return Attribution(values, 2 * task.n_pairs + runs, runs)


def windowed_loss(
    task: Task,
    log_odds: Float[Tensor, " edge"],
    noise: Noise,
    sizes: tuple[int, int],
    costs: tuple[float, float],
    alternative: Alternative | None = None,
) -> Callable[[int], Float[Tensor, ""]]:
    """The loss of a step: the metric under drawn masks, and what kept edges and heads cost.

    Args:
        task: what is run.
        log_odds: of edges' being kept.
        noise: where pairs and masks are drawn from.
        sizes: how many pairs, and masks of each.
        costs: of an edge, and of a head's first edge.
        alternative: what removed edges of these pairs read; by default the task's.
    """
    n_pairs, n_masks = sizes
    of_heads = heads_and_edges(task.graph).to(log_odds)
    half = len(of_heads) / 2

    def loss(_: int) -> Float[Tensor, ""]:
        chosen = noise.choices(task.n_pairs, n_pairs).repeat(n_masks)
        probabilities = torch.sigmoid(log_odds)
        kept = draw_windowed(probabilities, noise.uniform(len(chosen), len(log_odds)))
        other = alternative(chosen) if alternative else None
        heads = half * torch.tanh(of_heads @ probabilities / half)
        cost = costs[0] * probabilities.sum() + costs[1] * heads.sum()
        return mean_metric(task, kept, chosen, other) + cost

    return loss
