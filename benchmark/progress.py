"""Progress of long work: loops report how far they are to whoever listens, and print nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
# What runs, how much of it is done, and of how much.
Listener = Callable[[str, int, int], None]

# Variables of the context, so that no function on the way takes an argument for them.
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_part: ContextVar[str] = ContextVar("part", default="")


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let a listener hear of the loops inside."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Name the work inside; the listener hears that it begins, as 0 of 0."""
    before = _part.set(name)
    if listener := _listener.get():
        listener(name, 0, 0)
    try:
        yield
    finally:
        _part.reset(before)


def reported(items: Sequence[Item]) -> Iterator[Item]:
    """The items one by one; the listener hears of each that is done."""
    return reported_parts(items, len(items), lambda item: 1)


def reported_parts(
    items: Iterable[Item], total: int, size: Callable[[Item], int]
) -> Iterator[Item]:
    """Items of different sizes, of so much in all; loops within this one are not heard."""
    listener, done = _listener.get(), 0
    for item in items:
        before = _listener.set(None)
        try:
            yield item
        finally:
            _listener.reset(before)
        done += size(item)
        if listener:
            listener(_part.get(), done, total)
