"""How much each head and each neuron at each position matters, by integrated gradients."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import InputError
from knowncircuits.evaluation.modalities.nodes import NodeScores
from knowncircuits.evaluation.modalities.prompts import BATCH_SIZE, Prompts, rows_at_a_time
from knowncircuits.evaluation.modalities.running import (
    EMBED,
    activations,
    keep,
    node_hooks,
)
from knowncircuits.inference import recorded_gradients
from knowncircuits.models.interop.lens_library import HookPoint
from knowncircuits.work.progress import reported

STEPS = 5  # the study's


@takes(prompts=Prompts)
def node_scores(
    prompts: Prompts, *, steps: int = STEPS, batch_size: int = BATCH_SIZE
) -> NodeScores:
    """Scores of all heads and neurons at all positions, by attribution with integrated gradients.

    Nikankin et al. (2025), "Same Task, Different Circuits", after Hanna et al. (2024), "Have Faith
    in Faithfulness": token embeddings go in `steps` equal steps from the corrupted prompt's to the
    clean one's, which is the last. What a unit (a number of a head's `z`, a neuron) is worth to a
    pair is its mean gradient of the logit difference times (corrupted - clean). A node's score is
    the mean over pairs of its absolute worth, of a head summed over its numbers. Only hooks are
    needed; `component_gradients` along `inputs` has signed scores of the sums, through the
    primitive.

    Args:
        prompts: pairs with their right and wrong answers.
        steps: more come closer to the integral.
        batch_size: pairs at a time.

    Cost: `steps` forward and backward passes of each pair, and 2 forward passes.

    Raises:
        InputError: for no steps.
    """
    if steps < 1:
        raise InputError(f"expected at least one step, got {steps}")
    heads, neurons = [], []
    for pairs in reported(rows_at_a_time(prompts.n_pairs, batch_size, prompts.clean.device)):
        clean, corrupted = (
            activations(prompts.model, tokens[pairs])
            for tokens in (prompts.clean, prompts.corrupted)
        )
        total = [torch.zeros_like(one) for one in (*clean.z, *clean.post)]
        for step in range(1, steps + 1):
            embed = corrupted.embed + step / steps * (clean.embed - corrupted.embed)
            for one, gradient in zip(total, _gradients(prompts, pairs, embed), strict=True):
                one += gradient
        moves = [
            their - mine
            for mine, their in zip(
                (*clean.z, *clean.post), (*corrupted.z, *corrupted.post), strict=True
            )
        ]
        worth = [(g * d).abs() / steps for g, d in zip(total, moves, strict=True)]
        n_layers = len(clean.z)
        heads.append(torch.stack([of.sum((0, -1)) for of in worth[:n_layers]]))
        of_neurons = worth[n_layers:] or [clean.z[0].new_zeros(*of.shape[:2], 0) for of in clean.z]
        neurons.append(torch.stack([of.sum(0) for of in of_neurons]))
    found = (torch.stack(of).sum(0).double().cpu() / prompts.n_pairs for of in (heads, neurons))
    return NodeScores(*(of.numpy() for of in found))


def _gradients(
    prompts: Prompts, pairs: Int[Tensor, " pair"], embed: Float[Tensor, "pair pos d_model"]
) -> tuple[Tensor, ...]:
    """Gradients of the logit difference to every layer's `z`, then to every layer's neurons."""
    seen: dict[str, Tensor] = {}

    def start(value: Tensor, hook: HookPoint) -> Tensor:
        return embed.detach().clone().requires_grad_()

    with recorded_gradients():
        names = node_hooks(prompts.model)
        hooks = [(EMBED, start), *((name, keep(seen, name)) for name in names)]
        logits = prompts.model.run_with_hooks(prompts.clean[pairs], fwd_hooks=hooks)
        lead = prompts.logit_diff(prompts.at_answer(logits), pairs)
        return torch.autograd.grad(lead.sum(), [seen[name] for name in names])
