"""How much memory methods take, as a multiple of what the model's sources write in a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from knowncircuits.architecture import TransformerConfig
from knowncircuits.evaluation.bench.attribution_run import write_subject
from knowncircuits.evaluation.bench.attribution_time import OURS, run_process
from knowncircuits.evaluation.methods.parts import ROOM
from knowncircuits.work.progress import reported

CONFIG = TransformerConfig(2, 2, 32, 16, 128, 64, 50, 50, norm="layer")
METHODS = ("exact", "acdc", "edge-sp", "atp-star", "eap-gp")
TIMES = 3  # as many pairs as in one batch, and this many times as many


def bench_memory(
    methods: Sequence[str] = METHODS, *, config: TransformerConfig = CONFIG, room: int = ROOM
) -> pd.DataFrame:
    """Attribute a random model's output to its edges, on the pairs of one batch and of several.

    Args:
        methods: by their names; some with few steps, see `OPTIONS` of `attribution_run`.
        config: the model's sizes.
        room: numbers that the runs of a batch write.

    Returns:
        A row for each method: `mb`, the most memory of a process above what it had when the model
        was loaded, in millions of bytes, on the pairs of one batch, and `mb_of_3` on three times as
        many; and in multiples of what all sources write in a run of the pairs of one batch,
        `batch`, what does not grow with the pairs, and `pairs`, what grows with them.

    Raises ResultError, with what it printed, for a run that fails.
    """
    numbers = len(config.graph.sources) * config.n_ctx * config.d_model
    n_pairs = max(1, room // numbers)
    run = n_pairs * numbers * 4 / 1e6  # MB in float32
    rows = []
    for method in reported(list(methods)):
        one, several = (_measure(method, config, n * n_pairs) for n in (1, TIMES))
        grows = (several - one) / (TIMES - 1)
        rows.append(
            {
                "method": method,
                "n_pairs": n_pairs,
                "mb": one,
                f"mb_of_{TIMES}": several,
                "batch": (one - grows) / run,
                "pairs": grows / run,
            }
        )
    return pd.DataFrame(rows)


def _measure(method: str, config: TransformerConfig, n_pairs: int) -> float:
    with TemporaryDirectory() as name:
        write_subject(Path(name), config, n_pairs, seed=0)
        found = run_process([*OURS, name, method])
        return found["mb"] - found["mb_before"]
