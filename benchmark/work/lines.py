"""How far a command is, in plain lines: for logs, and where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock, Thread
from types import TracebackType

from knowncircuits.work.progress import Report

FIRST = 10.0  # seconds; what takes less says nothing
BETWEEN = 30.0  # two lines
TICK = 1.0


@dataclass(frozen=True)
class Piece:
    """What runs in a process, since when."""

    began: float
    report: Report

    def text(self, now: float) -> str:
        """Its name, how much of it is done, and the time that it has left or has taken."""
        done, total, took = self.report.done, self.report.total, now - self.began
        detail = f": {self.report.detail}" if self.report.detail else ""
        if not done or not total:
            return f"{self.report.what}{detail}, {duration(took)} so far"
        left = duration(took * (total - done) / done)
        return f"{self.report.what}{detail}, {done / total:.0%} of this one, about {left} left"


class Lines:
    """Prints what runs once a command takes long, and then now and then."""

    def __init__(
        self, what: str, total: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._total, self._done = what, total, 0
        self._clock, self._due = clock, clock() + FIRST
        self._pieces: dict[int, Piece] = {}
        self._lock, self._ended = Lock(), Event()
        self._thread = Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Lines:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def hear(self, report: Report) -> None:
        """Keep what a piece is at; one of another name is another piece."""
        with self._lock:
            known = self._pieces.get(report.worker)
            if not report.what:
                self._pieces.pop(report.worker, None)
            elif known is None or not report.done or known.report.what != report.what:
                self._pieces[report.worker] = Piece(self._clock(), report)
            else:
                self._pieces[report.worker] = Piece(known.began, report)

    def advance(self, name: str = "", n: int = 1) -> None:
        """Count n more steps of the whole as done."""
        self._done += n

    def say(self, text: str) -> None:
        """Print at once."""
        print(text, file=sys.stderr, flush=True)

    def text(self) -> str:
        """A line for each piece that runs, or one for the command where none has a name."""
        now, count = self._clock(), "" if self._total is None else f"{self._done} of {self._total}"
        with self._lock:
            pieces = [self._pieces[worker].text(now) for worker in sorted(self._pieces)]
        lines = [", ".join(filter(None, (count, piece))) for piece in pieces or [""]]
        own = f"{self._what}, "  # what it is called itself, where no loop has a name
        return "\n".join(
            line if line.startswith(own) else f"{self._what}: {line}" for line in lines if line
        )

    def print_if_due(self) -> None:
        """Print where enough time has gone since the beginning, or since the last time."""
        if self._clock() >= self._due and (text := self.text()):
            self._due = self._clock() + BETWEEN
            self.say(text)

    def _tick(self) -> None:
        """Also where nothing is reported: a method of a reader's own says nothing."""
        while not self._ended.wait(TICK):
            self.print_if_due()


def duration(seconds: float) -> str:
    """Seconds in words, to one unit: 12 s, 3 min, 2.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"
