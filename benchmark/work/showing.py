"""How far work is, on standard error: bars in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from knowncircuits.work.lines import Lines
from knowncircuits.work.progress import Report, heard_by, part


class Bars:
    """A bar for the whole, and below it one for each piece that runs."""

    def __init__(self, what: str, total: int | None = None, unit: str = "") -> None:
        self.progress = _bars()
        self._whole = self.progress.add_task(
            what, total=total, visible=total is not None or bool(unit)
        )
        self._pieces: dict[int, Any] = {}  # by the process that they run in
        self._names: dict[int, str] = {}

    def hear(self, report: Report) -> None:
        """Show a piece; one of another name is another piece, whose time is its own."""
        bar = self._bar_of(report.worker)
        shown: dict[str, Any] = {
            "description": report.what + (f": {report.detail}" if report.detail else ""),
            "completed": report.done,
            "visible": bool(report.what),
        }
        if not report.done or self._names.get(report.worker) != report.what:
            self._names[report.worker] = report.what
            bar.total = None  # for `reset` and `update` None is as before
            self.progress.reset(bar.id, **shown)
        self.progress.update(bar.id, total=report.total or None, **shown)

    def _bar_of(self, worker: int) -> Any:
        if worker not in self._pieces:
            self.progress.add_task("", total=None, visible=False)
            self._pieces[worker] = self.progress.tasks[-1]
        return self._pieces[worker]

    def advance(self, name: str = "", n: int = 1) -> None:
        """Count n more steps of the whole as done, and show the name of the last one."""
        self.progress.update(self._whole, advance=n)
        if name:
            self.progress.update(self._whole, description=name)

    def say(self, text: str) -> None:
        """Print above the bars."""
        self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)


Shown = Bars | Lines  # what a command tells of its progress: `advance` and `say`


@contextmanager
def show_progress(what: str, total: int | None = None, unit: str = "") -> Iterator[Shown]:
    """Show how far the work inside is, and what the loops in it report.

    Args:
        what: the command's name.
        total: how many steps `advance` will tell of.
        unit: what they are, where nobody knows how many: pages, say.
    """
    one_piece = nullcontext() if total is not None or unit else part(what)
    if sys.stderr.isatty():
        bars = Bars(what, total, unit)
        with bars.progress, heard_by(bars.hear), one_piece:
            yield bars
    else:
        with Lines(what, total) as lines, heard_by(lines.hear), one_piece:
            yield lines


def _bars() -> Any:
    """Bars with the time so far and the time left, that leave nothing behind."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    # Where a line is too long its description wraps, and no number is cut.
    count = MofNCompleteColumn(table_column=Column(min_width=len("20000/20000"), no_wrap=True))
    bar = BarColumn(10, table_column=Column(no_wrap=True))
    time, left = (Column(min_width=len("0:00:00"), no_wrap=True) for _ in range(2))
    name = TextColumn("{task.description}", markup=False, table_column=Column())
    columns = (name, bar, count)
    times = (
        TimeElapsedColumn(table_column=time),
        TextColumn("left", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=left),
    )
    return Progress(
        *columns,
        *times,
        transient=True,
        refresh_per_second=4,
        console=Console(stderr=True),
        redirect_stdout=sys.stdout.isatty(),  # a file gets what is printed, not the terminal
    )
