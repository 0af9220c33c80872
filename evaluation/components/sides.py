"""The two runs of a task: the one that is patched, and what is patched in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.evaluation.task import Task
from knowncircuits.primitive import Run

NUMBERS = 2**24  # in the outputs of the rows that are whole runs, at a time


@dataclass(frozen=True, eq=False)
class Sides:
    """The run that is patched, and what is patched in."""

    task: Task
    tokens: Int[Tensor, "pair pos"]
    base: Run
    alternative: Float[Tensor, "pair source pos d_model"]

    @classmethod
    def of(cls, task: Task, direction: str) -> Sides:
        """A task's sides: the clean run is patched to `noise`, the corrupted one to `denoise`."""
        if direction == "noise":
            return cls(task, task.clean, task.clean_run, task.alternative)
        return cls(task, task.corrupted, task.corrupted_run, task.clean_run.outputs)

    @cached_property
    def differences(self) -> Float[Tensor, "pair source pos d_model"]:
        """By how much each source's value moves."""
        return self.alternative - self.base.outputs

    @cached_property
    def moved(self) -> Bool[Tensor, " pos"]:
        """At which positions any source's value does, for any pair."""
        return (self.differences != 0).any(3).any(1).any(0)

    @cached_property
    def every(self) -> Int[Tensor, " pair"]:
        """All pairs, by their places."""
        return torch.arange(self.task.n_pairs, device=self.task.clean.device)

    @property
    def unpatched(self) -> float:
        """The value of the run that is patched, without any patch; mean over pairs."""
        return self.task.value(self.base.logits, self.every).double().mean().item()

    @property
    def runs_at_a_time(self) -> int:
        """How many runs of all pairs fit into memory together."""
        return max(1, NUMBERS // self.alternative.numel())
