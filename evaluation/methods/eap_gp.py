"""EAP with gradients on a path that the model itself lays: EAP-GP."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.gradients import mask_gradients
from knowncircuits.evaluation.methods.method import Attribution, Count
from knowncircuits.evaluation.methods.parts import parts
from knowncircuits.evaluation.task import Task

Embedded = Float[Tensor, "row pos d_model"]


def eap_gp(task: Task, *, steps: Count = 5, batch_size: Count = 256) -> Attribution:
    """EAP's scores averaged over runs whose embeddings descend towards the corrupted output.

    Zhang et al. (2025), "EAP-GP: Mitigating saturation effect in gradient-based automated circuit
    identification". From the clean embedding each step goes one unit of length down the gradient of
    the squared distance between this run's logits and the corrupted run's. A straight way, as of
    `eap-ig-inputs`, may lie where gradients vanish; this one is laid where the output moves. The
    difference that multiplies the gradients stays that of the ends. Ranks by absolute values.

    The authors published no code. As in the two reimplementations that we know of (circuitkit and
    Brokttv's fork of EAP-IG), the path is one for all edges, of the embeddings, not one for each
    source. A step has length 1 for each pair, over the positions together; the distance is taken
    over the positions that count. How far the path comes depends on how long embeddings are.

    Args:
        task: what to look at.
        steps: how many; 5 in the authors' experiments. The clean end is not among them.
        batch_size: pairs at a time.

    Cost: 2 + 4 * steps forward passes and 3 * steps backward passes for each pair.

    Raises MethodError where patched edges read no other input, which the path could lead to.
    """
    if task.ablation != "resample":
        raise MethodError(f"expected the ablation resample for a path, got {task.ablation}")
    total = torch.zeros(task.graph.n_edges, dtype=torch.float64, device=task.clean.device)
    for part in parts(task):
        for pairs in batches(part.n_pairs, batch_size, task.clean.device):
            embedded = part.clean_run.outputs[pairs, 0]
            for _ in range(steps):
                embedded = _descend(part, pairs, embedded)
                total += _effects(part, pairs, embedded).double()
    n_steps = steps * task.n_pairs
    values = (total / n_steps).cpu().numpy()
    return Attribution(values, 2 * task.n_pairs + 4 * n_steps, 3 * n_steps)


def _descend(task: Task, pairs: Int[Tensor, " row"], embedded: Embedded) -> Embedded:
    """One unit of length nearer to where the output is the corrupted run's."""
    embedded = embedded.detach().requires_grad_()
    outputs = task.clean_run.outputs[pairs]
    alternative = torch.cat([embedded[:, None], outputs[:, 1:]], 1)
    logits = task.model.run(task.clean[pairs], alternative, _from_embed(task)).logits
    distance = (logits - task.corrupted_run.logits[pairs]).square().sum(-1)
    (gradient,) = torch.autograd.grad(distance[task.counts[pairs]].sum(), embedded)
    length = gradient.flatten(1).norm(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
    moved: Tensor = embedded.detach() - gradient / length[:, None, None]
    return moved


def _effects(task: Task, pairs: Int[Tensor, " row"], embedded: Embedded) -> Float[Tensor, " edge"]:
    """Gradients where this is what `embed` writes, times the task's differences; sum of rows."""
    mask, clean = _from_embed(task), task.clean[pairs]
    outputs = task.clean_run.outputs[pairs]
    alternative = torch.cat([embedded[:, None], outputs[:, 1:]], 1)
    with torch.no_grad():
        outputs = task.model.run(clean, alternative, mask).outputs
    alternative = torch.cat([embedded[:, None], (outputs + task.differences[pairs])[:, 1:]], 1)
    # Edges out of `embed` read the path and no token. Their gradient is times the difference from
    # the path to the tokens' own embedding, and that of clean and of corrupted tokens is taken off
    # each other. All other edges have yet to move.
    found = mask_gradients(task, clean, alternative, mask, pairs)[0]
    other = mask_gradients(task, task.corrupted[pairs], alternative, mask, pairs)[0]
    return found - mask[0] * other


def _from_embed(task: Task) -> Float[Tensor, "1 edge"]:
    mask = task.clean_run.outputs.new_zeros(1, task.graph.n_edges)
    mask[:, torch.from_numpy(task.graph.source_of_edge == 0)] = 1
    return mask
