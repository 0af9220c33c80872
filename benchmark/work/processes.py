"""Jobs in several processes of one thread each, which end with the one that started them.

A process that is killed takes one job with it, and another goes on with the rest. An executor, of
the standard library or of loky, would lose every job that runs, and leave its processes behind
where the one that started them is killed.
"""

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

Answer = tuple[Exception | None, Any]  # the error that a job raised, or what came of it

IDLE = Report("")  # of a process: it has started, or a job is done
SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
    """Each job with the error that it raised, or with what came of it."""
    waiting, free, listener = deque(jobs), deque(range(processes)), who_hears()
    workers: dict[object, _Worker[Job]] = {}
    try:
        while waiting or workers:
            while waiting and free:
                with _signals_held():
                    worker = _Worker(work, waiting.popleft(), free.popleft())
                    workers[worker.connection] = worker
            for connection in wait([worker.connection for worker in workers.values()]):
                worker = workers[connection]
                message = worker.receive()
                report = message if isinstance(message, Report) else IDLE
                if listener:
                    listener(replace(report, worker=worker.number))
                if isinstance(message, Report):
                    continue
                job, (error, done) = worker.job, message
                goes_on = waiting and not isinstance(error, KilledError)
                if goes_on:
                    worker.take(waiting.popleft())
                yield job, error, done
                if not goes_on:
                    workers.pop(connection).end(SECONDS_TO_END)
                    free.append(worker.number)
    finally:
        for worker in workers.values():
            worker.end(0.0)


class _Worker(Generic[Job]):
    """A process that does one job after another, from a first one on."""

    def __init__(self, work: Callable[[Job], Any], job: Job, number: int) -> None:
        self.job, self.number, self.started = job, number, False
        context = get_context("spawn")  # threads do not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work))
        self.process.start()
        theirs.close()  # open here, it would hide that theirs is gone

    def take(self, job: Job) -> None:
        """Begin with a job."""
        self.job = job
        with suppress(OSError):  # where the process has just been killed, `receive` says so
            self.connection.send(job)

    def receive(self) -> Answer | Report:
        """What the process sends; raises ResultError if it ends before it has started."""
        try:
            message: Answer | Report = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(SECONDS_TO_END)
            code = self.process.exitcode
            by = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
            if not self.started:
                raise ResultError(f"a process ended with {by} before it could start") from None
            return KilledError(f"a process ended with {by}; start again to go on"), None
        if not self.started:
            self.started = True
            self.take(self.job)  # not before: it may be more than the connection holds
        return message

    def end(self, seconds: float) -> None:
        """Let the process end by itself for so long, then kill it."""
        self.connection.close()
        self.process.join(seconds)
        self.process.kill()
        self.process.join()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C and the like come later, and to processes that are started here only in `_begin`.

    Otherwise a process would print where in its imports it was interrupted.
    """
    if sys.platform == "win32":  # has no such mask
        yield
        return
    resource_tracker.ensure_running()  # its start would let signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """What a process does: it says that it has started, then answers jobs until there are none."""
    _begin()
    with suppress(EOFError, OSError):
        connection.send(IDLE)
        while True:
            job = connection.recv()
            try:
                with heard_by(_sender(connection)):
                    answer: Answer = None, work(job)
            except Exception as error:
                answer = _portable(error), None
            connection.send(answer)


def _sender(connection: Connection) -> Listener:
    """A listener that sends the reports of a job, the first one and others now and then.

    Where nobody is there any more to read them, that is none of the job's business: it ends soon.
    """
    due = 0.0

    def send(report: Report) -> None:
        nonlocal due
        if report.what and monotonic() >= due:
            due = monotonic() + SECONDS_BETWEEN_REPORTS
            with suppress(OSError):
                connection.send(report)

    return send


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
    for name in SIGNALS:
        signal.signal(name, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()
