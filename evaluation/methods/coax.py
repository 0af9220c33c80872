"""Effects of single edges once the edges that seem to matter most are gone: what backs them up."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field

from knowncircuits.evaluation.methods.bases import Base, base_scores
from knowncircuits.evaluation.methods.exact import exact
from knowncircuits.evaluation.methods.method import Attribution, Count, Seed
from knowncircuits.evaluation.task import Task
from knowncircuits.work.progress import reported

By = Literal["max", "growth"]
Most = Annotated[float, Field(gt=0, le=1)]


def coax(
    task: Task,
    *,
    of: Base = "eap-ig-inputs",
    size: Count = 2,
    dispensable: Most = 0.5,
    by: By = "max",
    seed: Seed = 0,
    batch_size: Count = 1024,
) -> Attribution:
    """What patching an edge does beside a seed of edges that are patched already, or alone.

    After CoAx (Gong et al., 2026, "Conditional co-ablation: recovering self-repair backups in
    transformer circuits"): a backup does nothing until what it backs up is gone, so a seed of the
    highest units of another method is ablated, and units are scored by how much their effect grows.
    Here units are edges, and the energy of an ablation is the metric. Ranks as signed, of sizes and
    differences of sizes: higher is more in the circuit.

    It departs from the authors in these ways. Where one edge alone loses (nearly) all, as those do
    that everything passes, nothing is left to grow once it is in the seed: only edges that lose at
    most a share of what all edges lose together, `dispensable`, are seeds. An edge of the seed has
    what putting it back regains. And by default an edge has the larger one of its two effects: the
    seed and what needs no backup are in the circuit too; `by=growth` is as published.

    Args:
        task: what to look at.
        of: the method that says which edges are the seed, with its own defaults. Those that it
            gives nothing are none; of tied ones the first in the graph's order are taken.
        size: edges in the seed, at most.
        dispensable: what an edge of the seed loses alone, as a share of what all edges lose.
        by: `max`, the larger effect; `growth`, the effect beside the seed less that alone.
        seed: of the method, where it draws.
        batch_size: patched runs at a time, of one pair and one edge each.

    Cost: those of the method and of `exact`, and up to 1 + edges forward passes for each pair.
    """
    ranked, alone = base_scores(of, task, seed), exact(task)
    pairs = torch.arange(task.n_pairs, device=task.clean.device)
    all_edges = task.alternative.new_ones(1, task.graph.n_edges)
    with torch.no_grad():
        run = task.model.run(task.clean, task.alternative, all_edges)
        lost = task.measure(run.logits, pairs).double().mean().item()
    ranks = np.where(np.abs(alone.values) <= dispensable * abs(lost), ranked.ranks(), 0.0)
    chosen = np.argsort(-ranks, kind="stable")[:size]
    seeds = np.zeros(task.graph.n_edges, dtype=bool)
    seeds[chosen[ranks[chosen] > 0]] = True
    beside, n_runs = effects_beside(task, seeds, batch_size)
    sizes = np.abs(alone.values), np.abs(beside)
    return Attribution(
        np.maximum(*sizes) if by == "max" else sizes[1] - sizes[0],
        (ranked.forward_passes or 0) + (alone.forward_passes or 0) + task.n_pairs + n_runs,
        ranked.backward_passes,
        {"seed": [task.graph.edges[i] for i in np.flatnonzero(seeds)]},
    )


def effects_beside(
    task: Task, seeds: Bool[np.ndarray, " edge"], batch_size: int
) -> tuple[Float[np.ndarray, " edge"], int]:
    """How far the metric grows when an edge is patched beside the seed, mean over pairs.

    Of edges in the seed: beside the others of it. And how many runs that took.
    """
    graph, device = task.graph, task.clean.device
    mask = torch.from_numpy(seeds).to(device)
    pairs = torch.arange(task.n_pairs, device=device)
    effects = torch.zeros(graph.n_edges, dtype=torch.float64, device="cpu")
    with torch.no_grad():
        run = task.model.run(task.clean, task.alternative, mask[None].to(task.alternative))
        start = task.measure(run.logits, pairs).double()
        differs = (run.outputs != task.alternative).flatten(2).any(2).cpu().numpy()
        rows = np.argwhere(differs[:, graph.source_of_edge].T)  # edge by edge
        for part in reported(np.split(rows, range(batch_size, len(rows), batch_size))):
            edges, chosen = (torch.from_numpy(x).to(device) for x in part.T.copy())
            masks = mask.repeat(len(edges), 1)
            masks[torch.arange(len(edges), device=device), edges] ^= True
            alternative = task.alternative[chosen]
            logits = task.model.run(task.clean[chosen], alternative, masks.to(alternative)).logits
            effect = task.measure(logits, chosen).double() - start[chosen]
            effects.index_add_(0, edges.cpu(), torch.where(mask[edges], -effect, effect).cpu())
    return (effects / task.n_pairs).numpy(), task.n_pairs + len(rows)
