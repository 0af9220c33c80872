"""Tables as text that fits a terminal; how numbers look in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[Any, Any]
LEAST_TEXT = 20  # a column that wraps, between words, is left out where it would be narrower
WHOLE = 100_000  # wider than any table
GAP = 3  # between two columns


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    show: Callable[[Row], str]  # the text of a row
    number: bool = True  # set flush right
    wraps: bool = False  # text of any length; numbers never wrap


def numbers(name: str, key: str = "", form: Callable[[Any], str] = str) -> Column:
    """A column of numbers: the row's value `key`, by default `name`."""
    return Column(name, lambda row: form(row[key or name]))


def words(name: str, key: str = "", wraps: bool = False) -> Column:
    """A column of text: the row's value `key`, by default `name`."""
    return Column(name, lambda row: str(row[key or name]), number=False, wraps=wraps)


@dataclass(frozen=True)
class Table:
    """Rows as text. In a terminal that is too narrow columns are left out, never parts of numbers.

    `drops` names the columns that may be left out, the first one first. Where the others do not fit
    either, each row becomes a block of lines.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    drops: Sequence[str] = ()
    title: str = ""

    def text(self, width: int = WHOLE) -> str:
        """The title, and the table if it has rows, for a terminal of so many columns."""
        return self._head(width) + (self._body(width) if self.rows else "")

    def _head(self, width: int) -> str:
        return "".join(_filled(line, width) for line in self.title.splitlines())

    def _body(self, width: int) -> str:
        left_out: list[str] = []
        while self._least_width(left_out, width) > width and len(left_out) < len(self.drops):
            left_out.append(self.drops[len(left_out)])
        if self._least_width(left_out, width) > width:
            return self._blocks(width)
        text = self._grid(left_out, width)
        if left_out:
            text += _filled(f"left out: {', '.join(left_out)}; --format csv has all", width)
        return text

    def _least_width(self, left_out: Sequence[str], width: int) -> int:
        return _total(least for least, _ in self._ranges(left_out, width))

    def _ranges(self, left_out: Sequence[str], width: int) -> list[tuple[int, int]]:
        """The least width that shows all of a column, and the most, for each that is not left out.

        A column that wraps shows all of it where its longest word fits.
        """
        from rich.cells import cell_len

        found = []
        for column in self._shown(left_out):
            texts = [*_name(column, width).splitlines(), *map(column.show, self.rows)]
            most = max(map(cell_len, texts))
            longest = max((cell_len(word) for text in texts for word in text.split()), default=0)
            found.append((min(most, max(LEAST_TEXT, longest)) if column.wraps else most, most))
        return found

    def _shown(self, left_out: Sequence[str]) -> list[Column]:
        return [column for column in self.columns if column.name not in left_out]

    def _grid(self, left_out: Sequence[str], width: int) -> str:
        """The table without some columns."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as Grid
        from rich.text import Text

        grid = Grid(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        shown, ranges = self._shown(left_out), self._ranges(left_out, width)
        for column, own in zip(shown, _widths(ranges, width), strict=True):
            justify: Any = "right" if column.number else "left"
            grid.add_column(Text(_name(column, width)), justify=justify, width=own, overflow="fold")
        for row in self.rows:
            grid.add_row(*(Text(column.show(row)) for column in shown))
        return _render(grid, width)

    def _blocks(self, width: int) -> str:
        """A line for each column of each row."""
        return "\n".join(
            "".join(_filled(f"{column.name}: {column.show(row)}", width) for column in self.columns)
            for row in self.rows
        )


def _name(column: Column, width: int) -> str:
    """A column's name; in a terminal those above numbers take several lines."""
    return column.name.replace(" ", "\n") if column.number and width < WHOLE else column.name


def _total(widths: Iterable[int]) -> int:
    """The width of a table of columns, with what is between them."""
    widths = list(widths)
    return sum(widths) + GAP * (len(widths) - 1)


def _widths(ranges: Sequence[tuple[int, int]], width: int) -> list[int]:
    """Widths within the columns' ranges, what is to spare in even parts."""
    found = [least for least, _ in ranges]
    spare = width - _total(found)
    wanting = sorted(range(len(ranges)), key=lambda i: ranges[i][1] - ranges[i][0])
    for n, i in enumerate(wanting):
        part = min(ranges[i][1] - ranges[i][0], spare // (len(wanting) - n))
        found[i] += part
        spare -= part
    return found


def frame_table(frame: pd.DataFrame, title: str = "", drops: Sequence[str] = ()) -> Table:
    """A frame, its first column as names and the others as numbers, or text where they hold it.

    `drops` are columns, by default all but the first two, the last ones first.
    """
    names = [str(name) for name in frame.columns]
    columns = [numbers(n, form=cell_text) if i else words(n) for i, n in enumerate(names)]
    rows = [dict(zip(names, row, strict=True)) for row in frame.itertuples(index=False)]
    return Table(columns, rows, drops or names[:1:-1], title)


def indexed_table(
    frame: pd.DataFrame,
    title: str = "",
    form: Callable[[float | None], str] | None = None,
    importance: Callable[[Any], float] | None = None,
) -> Table:
    """A frame of numbers with the names in its index; columns are left out by their importance.

    By default the last ones first. The most important one always stays.
    """
    form = form or number_text
    keys = [str(name) for name in frame.index.names]
    values = {f"{c:g}" if isinstance(c, float) else str(c): c for c in frame.columns}
    columns = [*map(words, keys), *(numbers(name, form=form) for name in values)]
    rows = [
        dict(zip([*keys, *values], [*(at if isinstance(at, tuple) else (at,)), *row], strict=True))
        for at, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    drops = list(values)[::-1]
    if importance:
        drops.sort(key=lambda name: importance(values[name]))
    return Table(columns, rows, drops[:-1], title)


def _render(grid: Any, width: int) -> str:
    """As wide as it has to be, without blanks at the ends of lines."""
    from rich.console import Console

    console = Console(width=width)
    with console.capture() as captured:
        console.print(grid, highlight=False, markup=False)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _filled(text: str, width: int) -> str:
    """Lines of text, broken between words only."""
    from textwrap import fill

    return fill(text, width, subsequent_indent="  ", break_long_words=False) + "\n"


def share_text(value: float | None) -> str:
    """A percentage, rounded down: 100 is only what is 100."""
    return "-" if value is None else f"{int(value * 1e5) / 1e3:.3f}"


def cell_text(value: object) -> str:
    """A number of a table with four digits, or text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def number_text(value: float | None) -> str:
    """A score with three digits; - where there is none."""
    return "-" if value is None or value != value else f"{value:.3f}"


def magnitude_text(value: float | None) -> str:
    """A number of any size with two digits; - where there is none."""
    return "-" if value is None else f"{value:.2g}"


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
