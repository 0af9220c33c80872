"""Jobs in several processes of one thread each, which end with the one that started them."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from threading import Thread
from time import monotonic
from typing import Any, Generic, TypeVar

import torch

from knowncircuits.errors import ResultError
from knowncircuits.work.progress import Listener, Report, heard_by, who_hears

Job = TypeVar("Job")
Done = TypeVar("Done")

SECONDS_TO_END = 2.0  # of a process that has no more work; then it is killed
SECONDS_BETWEEN_REPORTS = 0.2  # of a process; what comes in between is not sent


class KilledError(ResultError):
    """A process ended in the middle of a job: killed, out of memory, or crashed."""


def run_jobs(
    work: Callable[[Job], Done],
    jobs: Sequence[Job],
    processes: int = 1,
    *,
    when_killed: Callable[[Job, KilledError], Done] | None = None,
) -> Iterator[Done]:
    """Do the jobs, in this process or in several; what comes of each, in the order of being done.

    What fails in one is raised when all are done. When the iterator is closed, or interrupted by
    Ctrl-C, its processes end at once, in the middle of their work. Who hears of loops here hears of
    those in the processes, too, as of so many workers.

    Args:
        work: a function at the top of a module.
        jobs: what it is called with, as pickle can carry it.
        processes: how many; 1 is this one.
        when_killed: what comes of a job whose process was killed; by default that is a failure.

    Raises KilledError if a process was killed, and ResultError if one could not start.
    """
    if processes == 1:
        yield from map(work, jobs)
        return
    failed: list[Exception] = []
    with closing(_answers(work, jobs, processes)) as answers:
        for job, error, done in answers:
            if error is None:
                yield done
            elif when_killed and isinstance(error, KilledError):
                yield when_killed(job, error)
            else:
                failed.append(error)
    if failed:
        raise failed[0]


def _answers(
    work: Callable[[Job], Done], jobs: Sequence[Job], processes: int
) -> Generator[tuple[Job, Exception | None, Any]]:
    """Each job with the error that it raised, or with what came of it.

    A process that is killed takes one job with it, and another process goes on with the rest.
    """
    waiting, listener = deque(jobs), who_hears()
    workers: dict[object, _Worker[Job]] = {}
    try:
        while waiting or workers:
            n_starting = sum(worker.job is None for worker in workers.values())
            for _ in range(min(processes - len(workers), len(waiting) - n_starting)):
                number = min(set(range(processes)) - {w.number for w in workers.values()})
                with _signals_held():
                    worker = _Worker[Job](work, number, listener)
                    workers[worker.connection] = worker
            for connection in wait([worker.connection for worker in workers.values()]):
                worker = workers[connection]
                job, answer = worker.job, worker.answer()
                if answer is None:
                    continue
                error, done = answer
                goes_on = waiting and not isinstance(error, KilledError)
                if goes_on:
                    worker.take(waiting.popleft())
                if job is not None:
                    yield job, error, done
                if not goes_on:
                    workers.pop(connection).end(SECONDS_TO_END)
    finally:
        for worker in workers.values():
            worker.end(0.0)


class _Worker(Generic[Job]):
    """A process that does one job after another."""

    def __init__(self, work: Callable[[Job], Any], number: int, listener: Listener | None) -> None:
        self.number, self.listener = number, listener
        context = get_context("spawn")  # threads do not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, listener is not None))
        self.process.start()
        theirs.close()  # open here, it would hide that theirs is gone
        self.job: Job | None = None  # until it has started

    def take(self, job: Job) -> None:
        """Begin with a job."""
        self.job = job
        with suppress(OSError):  # where the process has just been killed, `answer` says so
            self.connection.send(job)

    def answer(self) -> tuple[Exception | None, Any] | None:
        """The error that the job raised, or what came of it; neither when it has just started.

        None where it was a report of a job that goes on; the listener has it then.

        Raises ResultError if the process ends before it has a job.
        """
        try:
            message: Report | tuple[Exception | None, Any] = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(SECONDS_TO_END)
            how = f"a process ended with {_exit_text(self.process.exitcode)}"
            if self.job is None:
                raise ResultError(f"{how} before it could start") from None
            message = KilledError(f"{how}; start again to go on"), None
        told = message if isinstance(message, Report) else Report("")  # nothing runs any more
        if self.listener:
            self.listener(replace(told, worker=self.number))
        return None if isinstance(message, Report) else message

    def end(self, seconds: float) -> None:
        """Let the process end by itself for so long, then kill it."""
        self.connection.close()
        self.process.join(seconds)
        self.process.kill()
        self.process.join()


def _exit_text(code: int | None) -> str:
    return signal.Signals(-code).name if code and code < 0 else f"exit code {code}"


@contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C and the like come later, and to processes that are started here only in `_begin`.

    Otherwise a process would print where in its imports it was interrupted.
    """
    if sys.platform == "win32":  # has no such mask
        yield
        return
    resource_tracker.ensure_running()  # its start would let signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, work: Callable[[Any], Any], heard: bool) -> None:
    """What a process does: it says that it has started, then answers jobs until there are none.

    Where it is heard, it also says how far a job is.
    """
    _begin()
    answer: tuple[Exception | None, Any] = (None, None)
    with suppress(EOFError, OSError):
        while True:
            connection.send(answer)
            job = connection.recv()
            try:
                with heard_by(_Sender(connection) if heard else None):
                    answer = None, work(job)
            except Exception as error:
                answer = _portable(error), None


class _Sender:
    """Sends the reports of a job, the first one and others now and then.

    Where nobody is there any more to read them, that is none of the job's business: it ends soon.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self._due = connection, 0.0

    def __call__(self, report: Report) -> None:
        now = monotonic()
        if report.what and now >= self._due:
            self._due = now + SECONDS_BETWEEN_REPORTS
            with suppress(OSError):
                self._connection.send(report)


def _portable(error: Exception) -> Exception:
    """The error, or where pickle cannot carry it one that says the same; with where it was."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(traceback.format_exc())
    return error


def _begin() -> None:
    """A process's start: one thread, an end without a word, and one with who started it."""
    torch.set_num_threads(1)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()
