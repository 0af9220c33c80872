"""IBCircuit: edges read a mixture of a value and of noise, and pay for what comes through."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from knowncircuits.evaluation.methods.descent import descend, mean_metric
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate, Seed, Weight
from knowncircuits.evaluation.methods.noise import noise_for
from knowncircuits.evaluation.task import Task

START, SPREAD = 5.0, 0.01  # of logits: their mean and standard deviation at first


def ibcircuit(
    task: Task,
    *,
    faithfulness: Weight = 1.0,
    information: Weight = 1.0,
    steps: Count = 1300,
    learning_rate: Rate = 0.05,
    seed: Seed = 0,
) -> Attribution:
    """The logit of how much of its source an edge lets through, the rest being noise.

    IBCircuit (Bian et al., 2026, "IBCircuit: Towards Holistic Circuit Discovery with Information
    Bottleneck"): an edge reads w x + (1 - w) e, where x is what its source writes and e normal
    noise of the mean and the variance that x has over inputs, drawn anew in each step. Adam
    descends the metric plus the information that comes through, the divergence of what is read,
    given x, from e, mean over edges: of an edge ((1 - w)^2 + w^2 - 1)/2 - log(1 - w) for each
    number that it reads. As published: logits of w begin at 5, the values below. Ranks as signed:
    higher is more in the circuit; above 0 more comes through than noise.

    Departures: weights are of edges and shared by all inputs, where the authors' code has one for
    each head and input. Means and variances are over clean and corrupted inputs together, since
    clean ones alone may all have the property that is asked about, and of the unpatched runs.
    Information is charged as for a source of which every number varies.

    Args:
        task: what to look at; its ablation plays no part.
        faithfulness: the weight of the metric.
        information: the weight of the information.
        steps: of training.
        learning_rate: of the logits.
        seed: of the noise.

    Cost: 2 + steps forward passes and steps backward passes for each pair.
    """
    clean, corrupted = task.clean_run.outputs, task.corrupted_run.outputs
    noise = noise_for(task, seed)
    deviation, mean = torch.std_mean(torch.cat([clean, corrupted]).to(noise.like), dim=0)
    logits = (START + SPREAD * noise.normal(task.graph.n_edges)).requires_grad_()

    def loss(_: int) -> Float[Tensor, ""]:
        drawn = (mean + deviation * noise.normal(*clean.shape)).to(clean.dtype)
        metric = mean_metric(task, torch.sigmoid(logits)[None], alternative=drawn)
        return faithfulness * metric + information * let_through(logits).mean()

    descend(loss, torch.optim.Adam([logits], lr=learning_rate), steps)
    runs = steps * task.n_pairs
    values = logits.detach().double().cpu().numpy()
    return Attribution(values, 2 * task.n_pairs + runs, runs)


def let_through(logits: Float[Tensor, " edge"]) -> Float[Tensor, " edge"]:
    """The information in nats for each number that an edge reads, of the logits of its weight."""
    weight = torch.sigmoid(logits)
    return ((1 - weight) ** 2 + weight**2 - 1) / 2 - logsigmoid(-logits)
