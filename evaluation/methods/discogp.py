"""DiscoGP on edges: masks of 0 and 1, gradients straight through, and a complement that fails."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.evaluation.methods.descent import descend, mean_metric
from knowncircuits.evaluation.methods.masks import EDGE_OF_NOISE, Masks
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate, Seed, Weight
from knowncircuits.evaluation.methods.noise import noise_for
from knowncircuits.evaluation.task import Task

START, SPREAD = 1.0, 0.01  # of logits: their mean and standard deviation at first
RISE, FALL = 20 / 100, 20 / 100  # of the steps: over so many the weight of sparsity rises, falls


def discogp(
    task: Task,
    *,
    sparsity: Weight = 1.0,
    greatest: Weight = 100.0,
    least: Weight = 0.01,
    completeness: Weight = 1.0,
    steps: Count = 1300,
    learning_rate: Rate = 0.1,
    seed: Seed = 0,
) -> Attribution:
    """The logit of an edge's mask, trained to be faithful and sparse, and its complement to fail.

    DiscoGP (Yu, Niu, Zhu and Penn, 2024, "Functional Faithfulness in the Wild: Circuit Discovery
    with Differentiable Computation Graph Pruning"), its part on edges: masks are drawn 0 or 1 from
    a sigmoid of logistic noise, and its gradient goes straight through. AdamW descends the metric,
    plus the mean sigmoid of logits times a weight that rises from `sparsity` to `greatest` times
    that over a fifth of the steps, falls to `least` times over the next and stays there; plus,
    times `completeness`, how far the complement of the mask, where kept edges are patched and
    others not, is from knowing nothing of the clean input. As published: logits begin at 1, the
    values below, and 100 epochs, which of their 1,000 inputs (of which 800 are trained on, 64 at a
    time) are 1,300 steps. Ranks as signed: higher is more in the circuit; above 0 an edge is kept.

    Departures: masks of weights are left out, since a method touches the model by patches of edges
    alone (an option of theirs). Removed edges read the task's alternative, where they read zeros
    there. So the complement is to give the corrupted answer, by the metric, where theirs is to give
    all answers alike; and faithful is to give the clean one, theirs the right one. All pairs are
    seen in each step.

    Args:
        task: what to look at.
        sparsity: the weight of the mean sigmoid in the first step, in units of the metric.
        greatest: by what it is multiplied at most.
        least: by what it is multiplied in the end.
        completeness: the weight of the complement's distance; 0 leaves it out.
        steps: of training.
        learning_rate: of the logits.
        seed: of the noise in the masks.

    Cost: 4 + 2 steps forward passes and 2 steps backward passes for each pair; without completeness
    half as many.
    """
    noise, n_edges = noise_for(task, seed), task.graph.n_edges
    reverse = task.reversed
    pairs = torch.arange(task.n_pairs, device=task.clean.device)
    logits = (START + SPREAD * noise.normal(n_edges)).requires_grad_()

    def complement(kept: Masks) -> Float[Tensor, ""]:
        run = task.model.run(task.clean, task.alternative, kept[None].to(task.alternative.dtype))
        return reverse.measure(run.logits, pairs).mean()

    def loss(step: int) -> Float[Tensor, ""]:
        weight = sparsity * schedule(step / steps, greatest, least)
        kept = draw_straight(logits, noise.uniform(n_edges))
        total = mean_metric(task, kept[None]) + weight * torch.sigmoid(logits).mean()
        if completeness:
            total = total + completeness * complement(draw_straight(logits, noise.uniform(n_edges)))
        return total

    descend(loss, torch.optim.AdamW([logits], lr=learning_rate), steps)
    sides = 2 if completeness else 1  # the circuit, and its complement with runs of its own
    runs = sides * steps * task.n_pairs
    values = logits.detach().double().cpu().numpy()
    return Attribution(values, 2 * sides * task.n_pairs + runs, runs)


def draw_straight(logits: Masks, uniform: Masks) -> Masks:
    """Masks of 0 and 1 of their logits and uniform noise, with the gradient of the sigmoid."""
    noise = uniform.clamp(EDGE_OF_NOISE, 1 - EDGE_OF_NOISE).logit()
    soft = torch.sigmoid(logits + noise)
    return soft + ((soft > 0.5).to(soft) - soft).detach()


def schedule(share: float, greatest: float, least: float) -> float:
    """By what a weight is multiplied after this share of the steps."""
    if share < RISE:
        return 1 + (greatest - 1) * share / RISE
    if share < RISE + FALL:
        return greatest - (greatest - least) * (share - RISE) / FALL
    return least
