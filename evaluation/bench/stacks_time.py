"""What it brings to train models of one shape in one batch, beside training each alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter, process_time

import pandas as pd

from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.stack import Stack
from knowncircuits.models.training.trainer import Trainer
from knowncircuits.models.zoo.plans import Plan
from knowncircuits.work.progress import part, reported
from knowncircuits.work.threads import threads

WARM_UP = 3  # steps before those that are timed
CONFIG = TrainingConfig(objective="guided", n_inputs=1_000, n_validation=10)


def bench_stacks(
    sizes: Sequence[int] = (1, 4, 16), *, case: str = "histogram", steps: int = 20, device: str
) -> pd.DataFrame:
    """Time steps of guided training on one thread: of one model alone, and of stacks of seeds.

    Args:
        sizes: of the stacks.
        case: that the models are of.
        steps: that are timed of each.
        device: `cpu` or `cuda`.

    Returns:
        A row for the model alone, `stack` 0, and for each stack: seconds of a step of all its
        models (on a CPU the processor's, which other work does not lengthen), steps of a model a
        second, and how many times as many that is as alone.
    """
    rows = []
    with threads(1):
        for size in reported([0, *sizes]):
            with part(f"a stack of {size}" if size else "alone"):
                trainers = [_trainer(case, seed, device) for seed in range(size or 1)]
                clock = process_time if device == "cpu" else perf_counter
                taken = _time(Stack(trainers).step if size else trainers[0].step, steps, clock)
            rows.append({"stack": size, "seconds": taken, "model_steps": (size or 1) / taken})
    table = pd.DataFrame(rows)
    table["ratio"] = table["model_steps"] / table["model_steps"][0]
    return table


def _trainer(case: str, seed: int, device: str) -> Trainer:
    return Plan(case, CONFIG).changed({"seed": seed}).trainer(device)


def _time(step: Callable[[], object], steps: int, clock: Callable[[], float]) -> float:
    """Seconds of a step, at whose end its losses are on the CPU."""
    for _ in range(WARM_UP):
        step()
    start = clock()
    for _ in range(steps):
        step()
    return (clock() - start) / steps
