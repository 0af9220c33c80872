"""Which training inputs are drawn more often: those with rare answers."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.cases.pools import ATOL
from knowncircuits.compiler.compiled import Compiled

BATCH = 4_096


def balanced_weights(
    compiled: Compiled, inputs: Int[Tensor, "input pos"]
) -> Float[Tensor, " input"]:
    """How often to draw each input so that rare answers come up about as often as frequent ones.

    An input weighs the mean over its answers of one over their frequency: with one answer each, all
    answers would be as frequent. Of the counts in uniform inputs of three tokens, one in 5,000 is
    that of nine equal ones; a model has to know it all the same. Numbers within a tolerance are one
    answer.

    Args:
        compiled: the model that answers.
        inputs: ids, on its device.

    Returns:
        Weights that sum to one, in float64, on the CPU.
    """
    with torch.no_grad():
        logits = torch.cat(
            [compiled.model.run(batch).logits for batch in torch.split(inputs, BATCH)]
        )
    defined = compiled.defined(logits)
    if compiled.output.numerical:
        answers = (logits[..., 0] / ATOL).round().long()
    else:
        answers = logits.argmax(-1)
    answers = torch.unique(answers, return_inverse=True)[1]
    frequency = torch.bincount(answers[defined], minlength=int(answers.max()) + 1).double()
    rarity = torch.where(defined, 1 / frequency.clamp(min=1)[answers], 0.0)
    weights = (rarity.sum(1) / defined.sum(1).clamp(min=1)).cpu()
    return weights / weights.sum()
