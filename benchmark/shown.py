"""How objects show themselves: in a line, and in a notebook as a small page that needs nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan

ROWS = 12  # of a table that a notebook shows
WIDTH = 60  # characters of a fact in the line
CELL_WIDTH = 200
BLANK = "–"

# The notebook's own colours, light or dark; a site's stylesheet may stripe or centre tables.
CELL = "text-align: left; padding: 1px 14px 1px 0; vertical-align: top"


@dataclass(frozen=True)
class Table:
    """Rows under a title; `total` says how many there are, where not all are given."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    total: int | None = None

    def to_html(self) -> str:
        """A part that can be folded: the first rows, and how many more there are."""
        if not self.rows:
            return ""
        shown = self.rows[:ROWS]
        head = "".join(_cell("th", name) for name in self.columns)
        body = "".join(f"<tr>{''.join(_cell('td', x) for x in row)}</tr>" for row in shown)
        more = (len(self.rows) if self.total is None else self.total) - len(shown)
        rest = f"<div>and {more:,} more</div>" if more else ""
        return (
            f"<details open><summary>{escape(self.title)}</summary>"
            f'<table style="border-collapse: collapse"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>{rest}</details>"
        )


@dataclass(frozen=True)
class Card:
    """What is said of an object: its name, where it has one, and facts, the first ones first.

    Tables are for notebooks alone, so they are made when one is shown.
    """

    name: str
    facts: tuple[str, ...]
    tables: Callable[[], Iterable[Table]] = tuple


class Shown(ABC):
    """What has a card: `repr` is a line, `<Task histogram: 100 pairs; ...>`.

    For values that a line of Python makes again, such as a graph, that line is the better `repr`.
    """

    @abstractmethod
    def _card(self) -> Card:
        """What is shown of it."""

    def __repr__(self) -> str:
        card = self._card()
        title = f"{type(self).__name__} {shortened(card.name)}".strip()
        return f"<{title}: {'; '.join(map(shortened, card.facts))}>"

    def _repr_html_(self) -> str:
        """What notebooks show: the facts, and tables below them."""
        card = self._card()
        title = f"<b>{type(self).__name__}</b> {escape(shortened(card.name))}"
        facts = escape(" · ".join(card.facts))
        tables = "".join(table.to_html() for table in card.tables())
        return f'<div style="line-height: 1.5">{title}<div>{facts}</div>{tables}</div>'


def shortened(text: str, width: int = WIDTH) -> str:
    """The text on one line, cut where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1].rstrip()}…"


def counted(n: int, singular: str, plural: str | None = None) -> str:
    """`1 head`, `2 heads`, `1,200 pairs`."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def percent(share: float | None) -> str:
    """A share with two digits, rounded down: 100% is only what is 1."""
    if share is None or isnan(share):
        return BLANK
    return "100%" if share == 1 else f"{int(share * 1e4) / 1e2:.2f}%"


def _cell(kind: str, value: object) -> str:
    if value is None or (isinstance(value, float) and isnan(value)):
        text = BLANK
    elif isinstance(value, float):
        text = f"{value:.4g}"
    else:
        text = shortened(str(value), CELL_WIDTH)
    return f'<{kind} style="{CELL}">{escape(text)}</{kind}>'
