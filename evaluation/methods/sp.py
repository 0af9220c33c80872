"""Subnetwork probing of nodes: masks on heads' q, k and v and on MLPs, spread over the edges."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.evaluation.methods.masks import Regularised, train_masks
from knowncircuits.evaluation.methods.method import Attribution, Count, Rate, Seed
from knowncircuits.evaluation.methods.nodes import edges_between
from knowncircuits.evaluation.task import Task


def sp(
    task: Task,
    *,
    regularisation: float = 1.0,
    steps: Count = 500,
    learning_rate: Rate = 0.01,
    seed: Seed = 0,
    regularise: Regularised = "chance",
) -> Attribution:
    """How likely an edge's two ends are kept by masks trained to keep the metric low and few nodes.

    Subnetwork probing (Cao, Sanh and Rush, 2021) with hard-concrete masks on every head's q, k and
    v and on every MLP's output, as Conmy et al. (2023) and InterpBench (Gupta et al., 2024) run it,
    with the latter's numbers: learning rate 0.01, 500 steps, cost 1. An edge is in, as there, if
    what it reads is kept (an MLP; a head of which q, k or v is kept) and what it feeds is. The
    embeddings and `logits` have no mask and are always kept, so `embed->logits` always ranks first.
    Ranks as signed: higher is more in the circuit.

    It departs from that in two ways. One run ranks all edges by the lesser chance of its ends,
    where the authors cut at 1/2 and repeat the run with other costs. And all masks cost the same,
    where there a layer's MLP costs as much as all its heads' q.

    Args:
        task: what to look at.
        regularisation: what it costs to keep all masked nodes, in units of the metric.
        steps: of training; all pairs are seen in each.
        learning_rate: of the masks.
        seed: of the noise in the masks.
        regularise: what costs: a mask's `chance` of being kept, as its authors have it, or the
            `sampled` mask, as auto-circuit has it; see `train_masks`.

    Cost: 2 + steps forward passes and steps backward passes for each pair.

    Raises MethodError for fewer than one step, a regularisation below 0, or one of another kind.
    """
    graph = task.graph
    names = [d for d in graph.destinations if d != "logits"]
    place: dict[str, int] = {name: i for i, name in enumerate(names)}
    always = len(names)  # the place of what has no mask
    # A head's output has no mask of its own, and an MLP's one mask is on its output.
    written = [place.get(source, always) for source in graph.sources]
    read = [place[name] if name.letter else always for name in graph.destinations]
    source, destination = graph.source_of_edge, graph.destination_of_edge
    device = task.clean.device
    first = torch.tensor(written, device=device)[torch.from_numpy(source).to(device)]
    second = torch.tensor(read, device=device)[torch.from_numpy(destination).to(device)]

    def keep(masks: Float[Tensor, " mask"]) -> Float[Tensor, " edge"]:
        all_masks = torch.cat([masks, masks.new_ones(1)])
        return all_masks[first] * all_masks[second]

    kept = train_masks(
        task,
        len(names),
        keep,
        regularisation=regularisation,
        steps=steps,
        learning_rate=learning_rate,
        seed=seed,
        regularise=regularise,
    )
    chances = dict(zip(names, kept.tolist(), strict=True))
    return Attribution(
        edges_between(graph, chances),
        (2 + steps) * task.n_pairs,
        steps * task.n_pairs,
        {"kept": chances},
    )
