"""Progress bars on standard error."""

from __future__ import annotations

from typing import Any


def progress_bar() -> Any:
    """A bar on standard error that leaves nothing behind."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), transient=True, console=Console(stderr=True))
