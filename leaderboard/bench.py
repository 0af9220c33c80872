"""How long a large board takes: random submissions over the whole zoo, made, read and built."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd

from knowncircuits.circuit import Label
from knowncircuits.leaderboard.schema import Author, Conventions, Cost, Description
from knowncircuits.leaderboard.site.build import build_site
from knowncircuits.leaderboard.submission import Submission, write_submission
from knowncircuits.leaderboard.truth import certified_models

SEEDS = (0, 1, 2)


def random_submissions(n: int, seed: int = 0) -> Iterator[Submission]:
    """Submissions of every certified model: the truth under noise, more or less of it."""
    models = certified_models()
    rng = np.random.default_rng(seed)
    for i in range(n):
        noise = rng.uniform(0.1, 2.0)
        scores = {
            key: (model.circuit.labels == Label.IN)
            + noise * rng.normal(size=(len(SEEDS), model.circuit.graph.n_edges))
            for key, model in models.items()
        }
        forward, backward = rng.integers(100, 100_000, 2).tolist()
        cost = Cost(seconds=rng.uniform(0.01, 9), forward_passes=forward, backward_passes=backward)
        description = Description(
            schema_version=1,
            id=f"random-{i:03}",
            title=f"Truth and noise, {i}",
            version="1",
            authors=(Author(name="Nobody"),),
            command=f"random_submissions({n}, {seed})",
            rank_by="signed",
            conventions=Conventions(n_pairs=100, seeds=SEEDS),
            benchmark=version("knowncircuits"),
            models={key: model.weights for key, model in models.items()},
            costs={key: (cost,) * len(SEEDS) for key in models},
        )
        yield Submission(description, scores)


def bench_leaderboard(
    folder: Path, n: int = 200, on_step: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """Write random submissions below a folder, and build their site there.

    Args:
        folder: to work in.
        n: how many submissions.
        on_step: told of each submission and page.

    Returns:
        A row for each step, with seconds and the processor's seconds; the last one has the pages'
        number, the largest page in kB, and the peak of memory in MB.
    """
    rows = []

    def measure(step: str, work: Callable[[], object]) -> None:
        start, used = perf_counter(), process_time()
        work()
        rows.append((step, perf_counter() - start, process_time() - used))

    def write() -> None:
        for submission in random_submissions(n):
            on_step(submission.id)
            write_submission(submission, folder / "submissions")

    measure(f"write {n} submissions", write)
    site = folder / "site"
    measure("build the site", lambda: build_site(folder / "submissions", site, on_page=on_step))
    pages = [path.stat().st_size for path in site.rglob("*.html")]
    table = pd.DataFrame(rows, columns=["step", "seconds", "processor"])
    table["pages"] = [0, len(pages)]
    table["largest, kB"] = [0, max(pages) // 1000]
    return table.assign(**{"peak memory, MB": peak_memory()})


def peak_memory() -> int:
    """Of this process, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1_000_000 if sys.platform == "darwin" else 1000)
