"""Executors: who does the jobs of long work, and what becomes of those that fail.

One protocol. A job goes to whoever is free; one that raises an error, or whose process is killed,
costs no other job. `processes.py` has the processes of this machine.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from knowncircuits.errors import ResultError
from knowncircuits.work.progress import Listener, heard_by, who_hears

Job = TypeVar("Job")
Done = TypeVar("Done")

Answer = tuple[Exception | None, Any]  # the error that a job raised, or what came of it


class KilledError(ResultError):
    """A process ended in the middle of a job: killed, out of memory, or crashed."""


@runtime_checkable  # the tests check arguments' types
class Executor(Protocol):
    """Who does jobs."""

    def answers(
        self, work: Callable[[Job], Any], jobs: Sequence[Job], listener: Listener | None
    ) -> Generator[tuple[Job, Exception | None, Any]]:
        """Each job with the error that it raised, or with what came of it, as they are done.

        When the generator is closed, what runs of them is ended.

        Args:
            work: a function at the top of a module, or an object of a class there.
            jobs: what it is called with, as pickle can carry it.
            listener: told of the loops in jobs, if the executor can.

        Yields KilledError for a job whose process was killed. Raises ResultError where no process
        can be started.
        """
        ...


@dataclass(frozen=True)
class Here:
    """This process does one job after the other, and an error ends the work at once."""

    def answers(
        self, work: Callable[[Job], Any], jobs: Sequence[Job], listener: Listener | None
    ) -> Generator[tuple[Job, Exception | None, Any]]:
        """See `Executor`."""
        for job in jobs:
            with heard_by(listener):
                done = work(job)
            yield job, None, done


HERE = Here()


def run_jobs(
    work: Callable[[Job], Done],
    jobs: Sequence[Job],
    executor: Executor = HERE,
    *,
    when_killed: Callable[[Job, KilledError], Done] | None = None,
    heard: bool = True,
) -> Generator[Done]:
    """Do the jobs; what comes of each, in the order of being done.

    What fails in one is raised when all are done. When the iterator is closed, or interrupted by
    Ctrl-C, the jobs that run end at once, in the middle of their work.

    Args:
        work: a function at the top of a module, or an object of a class there.
        jobs: what it is called with, as pickle can carry it.
        executor: who does them; by default this process.
        when_killed: what comes of a job whose process was killed; by default that is a failure.
        heard: whether who hears of loops here hears of those in jobs, too, as of so many workers.

    Raises KilledError if a process was killed, and ResultError if one could not start.
    """
    failed: list[Exception] = []
    with closing(executor.answers(work, jobs, who_hears() if heard else None)) as answers:
        for job, error, done in answers:
            if error is None:
                yield done
            elif when_killed and isinstance(error, KilledError):
                yield when_killed(job, error)
            else:
                failed.append(error)
    if failed:
        raise failed[0]


def answer_of(work: Callable[[Job], Any], job: Job) -> Answer:
    """Do a job, far from where its error is raised."""
    try:
        return None, work(job)
    except Exception as error:
        return _portable(error), None


def _portable(error: Exception) -> Exception:
    """The error, or where pickle cannot carry it one that says the same; with where it was."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(traceback.format_exc())
    return error
