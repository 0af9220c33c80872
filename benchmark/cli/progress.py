"""Progress bars on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def progress_bar() -> Any:
    """A bar on standard error, with the time left, that leaves nothing behind."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, *times, transient=True, console=Console(stderr=True))


@contextmanager
def inner_bar(progress: Any, name: str = "") -> Iterator[None]:
    """A second bar below: how far the loops inside are, under the name of what runs.

    Work in other processes is not heard.
    """
    from knowncircuits.progress import heard_by, part

    bar = progress.add_task(name, total=None)

    def hear(what: str, done: int, total: int) -> None:
        if not done:  # another part: its time is its own
            progress.reset(bar, start=True)
        progress.update(bar, description=what, completed=done, total=total or None)

    with heard_by(hear), part(name):
        yield
    progress.remove_task(bar)
