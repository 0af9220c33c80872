"""Jobs in several processes of one thread each, which end with the one that started them.

A process that is killed takes one job with it, and another goes on with the rest. An executor of
the standard library or of loky loses every job that waits or runs (loky 3.7: 7 of 8 where one of
two processes is killed), and leaves its processes behind where who started them is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from threading import Thread
from time import monotonic
from typing import Any, Generic

from knowncircuits.errors import ResultError
from knowncircuits.work.executor import Answer, Job, KilledError, answer_of
from knowncircuits.work.progress import Listener, Report, heard_by

IDLE = Report("")  # of a process: it has started, or a job is done
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_END = 2.0  # of a process that has no more work; then it is killed
SECONDS_BETWEEN_REPORTS = 0.2  # of a process; what comes in between is not sent


@dataclass(frozen=True)
class Processes:
    """Runs jobs in n processes of this machine."""

    n: int

    def answers(
        self, work: Callable[[Job], Any], jobs: Sequence[Job], listener: Listener | None
    ) -> Generator[tuple[Job, Exception | None, Any]]:
        """See `Executor`."""
        waiting, free = deque(jobs), deque(range(self.n))
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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*SIGNALS, signal.SIGUSR2})
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
            with heard_by(_sender(connection)):
                answer = answer_of(work, job)
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


def _begin() -> None:
    """A process's start: one thread, an end without a word, and one with who started it."""
    use_one_thread()
    for name in SIGNALS:
        signal.signal(name, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # SLURM's, for who started the process
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*SIGNALS, signal.SIGUSR2})
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()


def use_one_thread() -> None:
    """Let this process compute with one thread, for as long as it lives."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of a torch that is imported later, if it is
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
