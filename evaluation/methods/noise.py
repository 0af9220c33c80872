"""Random numbers of methods that train masks: the same on every device, step after step."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.evaluation.task import Task, at_least_float32


class Noise:
    """Draws on the CPU in float64, whatever the model is in, and hands over what a method needs."""

    def __init__(self, seed: int, like: Tensor) -> None:
        """`like` has the device and the dtype of what is drawn."""
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self.like = like

    def uniform(self, *shape: int) -> Tensor:
        """Between 0 and 1."""
        drawn = torch.rand(shape, generator=self.generator, dtype=torch.float64, device="cpu")
        return drawn.to(self.like)

    def normal(self, *shape: int) -> Tensor:
        """Of mean 0 and variance 1."""
        drawn = torch.randn(shape, generator=self.generator, dtype=torch.float64, device="cpu")
        return drawn.to(self.like)

    def choices(self, n: int, count: int) -> Int[Tensor, " count"]:
        """Some of the numbers below n, each time anew."""
        drawn = torch.randint(n, (count,), generator=self.generator, device="cpu")
        return drawn.to(self.like.device)


def noise_for(task: Task, seed: int) -> Noise:
    """Where the model of a task is, and in its dtype, or float32 where that is shorter."""
    outputs = task.clean_run.outputs
    return Noise(seed, outputs.new_zeros(1, dtype=at_least_float32(outputs.dtype)))
