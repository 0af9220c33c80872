"""What changes from step to step: learning rates, and what interchanges dwell on."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import torch

from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.objectives import Emphasis

# A cosine's highest rates, as a share of those of the one before.
RESTART = 0.3


def rate(config: TrainingConfig, n_steps: int, cooling_since: int | None = None) -> float:
    """The learning rates after so many steps, as a share of the highest.

    Args:
        config: says the warm-up, the schedule and its restarts.
        n_steps: steps that are done.
        cooling_since: the step at which rates began to fall to zero for an early end, if they did.
    """
    share = min(1.0, (n_steps + 1) / max(1, config.warmup))
    if config.schedule == "cosine":
        bounds = [0, *(step for step in config.restarts if step < config.steps), config.steps]
        cycle = bisect_right(bounds[1:-1], n_steps)
        start, end = bounds[cycle : cycle + 2]
        share *= RESTART**cycle
        share *= (1 + math.cos(math.pi * min(1.0, (n_steps - start) / (end - start)))) / 2
    if cooling_since is not None:
        share *= 1 - (n_steps - cooling_since) / max(1, config.cooldown)
    return share


def emphasis(config: TrainingConfig, n_steps: int, lags: Sequence[float]) -> Emphasis:
    """What interchanges dwell on after so many steps.

    Args:
        config: says how much lagging edges count for, and when outside edges come in.
        n_steps: steps that are done.
        lags: how far each inside edge fell short in the last validation; none before the first.
    """
    chances = None
    if config.lagging and any(lags):
        short = torch.tensor(lags, dtype=torch.float32, device="cpu")
        chances = (1 - config.lagging) / len(short) + config.lagging * short / short.sum()
    strength = 1.0
    if n_steps < config.quiet + config.ramp:
        strength = max(0.0, (n_steps - config.quiet) / max(1, config.ramp))
    volume = 1.0
    if n_steps < config.alone + config.rise:
        volume = max(0.0, (n_steps - config.alone) / max(1, config.rise))
    return Emphasis(chances, strength, volume, config.together)
