"""What commands do on Ctrl-C and SIGTERM: say in a line what is done, and exit."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer


class _Stop(KeyboardInterrupt):
    """A signal, on its way out of the work that it came in."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def stoppable(done: Callable[[], str]) -> Iterator[None]:
    """Work that a signal ends: with what is done on standard error, and exit code 128 + signal.

    So 130 after Ctrl-C, and 143 after SIGTERM, as shells have it.

    Args:
        done: says what is done, and what the same command does then.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it on the spot
        raise _Stop(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _Stop as stopped:
        print(f"stopped: {done()}", file=sys.stderr)
        raise typer.Exit(128 + stopped.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
