"""Progress of long work: loops report how far they are to whoever listens, and print nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Report:
    """How far a piece of work is."""

    what: str  # the name of what runs; none where nothing does any more
    done: int = 0
    total: int = 0  # 0 where it has just begun, or does not say how much it is
    detail: str = ""  # how it goes, in a few words: a loss, say
    worker: int = 0  # which of several processes it runs in


Listener = Callable[[Report], None]

# Variables of the context, so that no function on the way takes an argument for them.
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_part: ContextVar[str] = ContextVar("part", default="")


@contextmanager
def heard_by(listener: Listener | None) -> Iterator[None]:
    """Let a listener hear of the loops inside; None lets nobody."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def who_hears() -> Listener | None:
    """The listener, for who hands reports on to it from elsewhere."""
    return _listener.get()


@contextmanager
def part(name: str) -> Iterator[None]:
    """Name the work inside; the listener hears that it begins, and what goes on when it ends."""
    listener, before = _listener.get(), _part.set(name)
    if listener:
        listener(Report(name))
    try:
        yield
    finally:
        _part.reset(before)
        if listener:
            listener(Report(_part.get()))


def report(done: int, total: int, detail: str = "") -> None:
    """Tell the listener how far the part is; for work that is not a loop over items."""
    if listener := _listener.get():
        listener(Report(_part.get(), done, total, detail))


def reported(items: Sequence[Item]) -> Iterator[Item]:
    """The items one by one; the listener hears of each that is done."""
    return reported_parts(items, len(items), lambda item: 1)


def reported_parts(
    items: Iterable[Item], total: int, size: Callable[[Item], int]
) -> Iterator[Item]:
    """Items of different sizes, of so much in all; loops within this one are not heard."""
    done = 0
    for item in items:
        with heard_by(None):
            yield item
        done += size(item)
        report(done, total)
