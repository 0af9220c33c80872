"""What the methods cost: seconds and passes, on a small trained model and on a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time

import pandas as pd
import torch

from knowncircuits.evaluation.bench.patching import SIZES
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.registry import METHODS
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.zoo.shelf import load_model
from knowncircuits.transformer import Transformer
from knowncircuits.work.progress import part
from knowncircuits.work.threads import threads


def bench_methods(n_pairs: int = 100, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Time methods with their default options, on one thread, in the processor's seconds.

    Args:
        n_pairs: clean/corrupted pairs.
        names: of methods; by default all of ours.

    Returns:
        A row for each model and method: the model (fraction_of_x's trained model, and random
        weights of four layers), its edges, seconds, forward and backward passes of one example
        each. The second of two runs counts, so that nothing is paid for the first time; but the
        task, and the two unpatched runs that all methods share, are made anew.

    Raises UnknownNameError for an unknown method.
    """
    rows = []
    with threads(1):
        for model, task in {
            "fraction_of_x": make_task(load_model("fraction_of_x", zoo=1), n_pairs),
            "4 layers": random_task(n_pairs),
        }.items():
            for name in names or METHODS:
                with part(f"{name} on {model}"):
                    discover(name, _anew(task, 2))
                    fresh = _anew(task, n_pairs)
                    start = process_time()
                    scores = discover(name, fresh)
                    seconds = process_time() - start
                rows.append(
                    {
                        "model": model,
                        "method": name,
                        "edges": task.graph.n_edges,
                        "seconds": seconds,
                        "forward_passes": scores.forward_passes,
                        "backward_passes": scores.backward_passes,
                    }
                )
    return pd.DataFrame(rows)


def random_task(n_pairs: int, seed: int = 0) -> Task:
    """Random inputs of the larger of the benchmarks' models, with random weights."""
    config = SIZES["large"]
    model = Transformer(config).initialise(seed).requires_grad_(False)
    generator = torch.Generator("cpu").manual_seed(seed)
    shape = (2, n_pairs, config.n_ctx)
    clean, corrupted = torch.randint(1, config.d_vocab, shape, generator=generator, device="cpu")
    clean[:, 0] = corrupted[:, 0] = 0
    return Task("random", model, clean, corrupted, clean > 0)


def _anew(task: Task, n_pairs: int) -> Task:
    """The task with nothing computed yet, of its first pairs."""
    first = slice(n_pairs)
    return Task(
        task.name,
        task.model,
        task.clean[first],
        task.corrupted[first],
        task.counts[first],
        task.metric,
    )
