"""Jobs in several processes of one thread each, which end with the one that started them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

import torch

from knowncircuits.errors import ResultError

Job = TypeVar("Job")
Done = TypeVar("Done")


def run_jobs(
    work: Callable[[Job], Done], jobs: Sequence[Job], processes: int = 1
) -> Iterator[Done]:
    """Do the jobs, in this process or in several; what comes of each, in the order of being done.

    What fails in one is raised when all are done.

    Args:
        work: a function at the top of a module.
        jobs: what it is called with, as pickle can carry it.
        processes: how many; 1 is this one.

    Raises ResultError if a process was killed.
    """
    if processes == 1:
        yield from map(work, jobs)
        return
    failed: list[BaseException] = []
    # Spawned, since threads do not survive a fork.
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
        try:
            futures: list[Future[Done]] = [pool.submit(work, job) for job in jobs]
            for future in as_completed(futures):
                error = future.exception()
                if error is None:
                    yield future.result()
                else:
                    failed.append(error)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if failed and isinstance(failed[0], BrokenProcessPool):
        raise ResultError("a process was killed; start again to go on") from failed[0]
    if failed:
        raise failed[0]


def _begin() -> None:
    """A process's start: one thread, and an end when the one that started it is killed."""
    torch.set_num_threads(1)
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()
