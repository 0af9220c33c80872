"""What commands print: tables, numbers, and a progress bar."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    import pandas as pd


def progress_bar() -> Any:
    """A bar on standard error that leaves nothing behind."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), transient=True, console=console(stderr=True))


def console(stderr: bool = False) -> Any:
    """A console on standard output or error."""
    from rich.console import Console

    # A table that is piped into a file must not be cut to an imagined terminal.
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 200)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Container[int] = ()
) -> None:
    """Print rows; columns in `numbers` are set flush right, and only the last one wraps."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        side: Literal["left", "right"] = "right" if i in numbers else "left"
        table.add_column(name, justify=side, no_wrap=i < len(header) - 1, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table, highlight=False, markup=False)


def print_frame(frame: pd.DataFrame) -> None:
    """Print a frame, its first column as names and the others as numbers."""
    rows = [tuple(cell_text(value) for value in row) for row in frame.itertuples(index=False)]
    print_table(tuple(map(str, frame.columns)), rows, numbers=range(1, len(frame.columns)))


def print_indexed(frame: pd.DataFrame, form: Callable[[float | None], str] | None = None) -> None:
    """Print a frame of numbers with the names in its index."""
    form = form or number_text
    names = [name if isinstance(name, tuple) else (name,) for name in frame.index]
    columns = [f"{c:g}" if isinstance(c, float) else str(c) for c in frame.columns]
    rows = [
        (*map(str, name), *map(form, row))
        for name, row in zip(names, frame.to_numpy(), strict=True)
    ]
    header = (*map(str, frame.index.names), *columns)
    print_table(header, rows, numbers=range(frame.index.nlevels, len(header)))


def share_text(value: float | None) -> str:
    """A percentage, rounded down: 100 is only what is 100."""
    return "-" if value is None else f"{int(value * 1e5) / 1e3:.3f}"


def cell_text(value: object) -> str:
    """A number of a table with four digits, or text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def number_text(value: float | None) -> str:
    """A score with three digits; - where there is none."""
    return "-" if value is None or value != value else f"{value:.3f}"


def value_text(value: object) -> str:
    """A value of a program; - for None."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def values_text(values: Sequence[object]) -> str:
    """Values of a program in a row."""
    return " ".join(map(value_text, values))


def short_text(value: object) -> str:
    """A default for a table: of a long sequence its ends."""
    if isinstance(value, (list, tuple)) and len(value) > 3:
        return f"{value[0]},{value[1]},..,{value[-1]}"
    return str(value)
