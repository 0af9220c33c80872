"""How long a large board takes: random submissions over a whole zoo, made, read and built."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd
from jaxtyping import Float

from knowncircuits.circuit import Label
from knowncircuits.errors import UnknownNameError
from knowncircuits.evaluation.comparison.intervals import interval_over_cases
from knowncircuits.evaluation.comparison.statistics import paired_tests, rank_ranges
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.schema import VERSION, Author, Conventions, Cost, Description
from knowncircuits.leaderboard.site.build import build_site
from knowncircuits.leaderboard.slices import HEADLINE, load_slice
from knowncircuits.leaderboard.submission import (
    Submission,
    by_zoo,
    read_submissions,
    write_submission,
)
from knowncircuits.leaderboard.truth import certified_models

SEEDS = (0, 1, 2)


def random_submissions(n: int, seed: int = 0) -> Iterator[Submission]:
    """Submissions of every certified model of zoo 1: the truth under noise, more or less of it."""
    models = certified_models(1)
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
            schema_version=VERSION,
            id=f"random-{i:03}",
            title=f"Truth and noise, {i}",
            version="1",
            authors=(Author(name="Nobody"),),
            command=f"random_submissions({n}, {seed})",
            rank_by="signed",
            conventions=Conventions(n_pairs=100, seeds=SEEDS),
            benchmark=version("knowncircuits"),
            zoo=1,
            models={key: model.weights for key, model in models.items()},
            costs={key: (cost,) * len(SEEDS) for key in models},
        )
        yield Submission(description, scores)


def bench_leaderboard(
    folder: Path,
    n: int = 200,
    on_step: Callable[[str], None] = lambda text: None,
    *,
    ranked: int = 10_000,
    tested: int = 1_200,
) -> pd.DataFrame:
    """Rank many methods; write random submissions below a folder, and build their site there.

    Args:
        folder: to work in.
        n: how many submissions.
        on_step: told of each submission and page.
        ranked: how many methods are ranked, by random means of cases.
        tested: of these in pairs.

    Returns:
        A row for each step, with seconds, the processor's seconds, and the peak of memory in MB up
        to its end; the last one has the pages' number, and the largest page in kB.
    """
    rows = []

    def measure(step: str, work: Callable[[], object]) -> None:
        start, used = perf_counter(), process_time()
        work()
        rows.append((step, perf_counter() - start, process_time() - used, peak_memory()))

    many = _random_means(ranked)
    measure("before", lambda: None)
    measure(f"ranks of {ranked:,} methods", lambda: rank_ranges(many))
    measure(f"intervals of {ranked:,} methods", lambda: interval_over_cases(many))
    measure(f"all pairs of {tested:,} methods", lambda: paired_tests(many.iloc[:, :tested]))

    def write() -> None:
        for submission in random_submissions(n):
            on_step(submission.id)
            write_submission(submission, folder / "submissions")

    measure(f"write {n} submissions", write)
    site = folder / "site"
    measure("build the site", lambda: build_site(folder / "submissions", site, on_page=on_step))
    pages = [path.stat().st_size for path in site.rglob("*.html")]
    table = pd.DataFrame(rows, columns=["step", "seconds", "processor", "peak memory, MB"])
    earlier = [0] * (len(rows) - 1)
    return table.assign(
        **{"pages": [*earlier, len(pages)], "largest, kB": [*earlier, max(pages) // 1000]}
    )


def _random_means(n: int) -> pd.DataFrame:
    """Means of n methods of different quality on 50 cases."""
    rng = np.random.default_rng(0)
    means = rng.normal(rng.uniform(0.7, 0.9, n), 0.1, (50, n)).clip(0, 1)
    return pd.DataFrame(means, columns=[f"random-{i}" for i in range(n)])


def case_values(folder: Path, methods: Sequence[str]) -> dict[str, Float[np.ndarray, " case"]]:
    """AUROC and average precision of some submissions on the structural cases, by name.

    Raises UnknownNameError for a method of which there is no submission.
    """
    read, _ = read_submissions(folder)
    board = Board.of(next(iter(by_zoo(read).values()), []))
    cases = list(load_slice(board.slices, HEADLINE).cases)
    found = {}
    for value, text in (("auroc", "AUROC"), ("average_precision", "AP")):
        means = board.means["edge", value].loc[cases]
        for name in methods:
            if name not in means:
                raise UnknownNameError("submission", name, means.columns)
            found[f"{text} of {name}"] = means[name].dropna().to_numpy()
    return found


def peak_memory() -> int:
    """The peak memory of this process, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1_000_000 if sys.platform == "darwin" else 1000)
