"""Where commands print: tables for people, or data alone on standard output."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knowncircuits.cli.layout import WHOLE, Table
from knowncircuits.cli.options import Format

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Output:
    """Where a command prints: tables for people, or data alone on standard output."""

    form: Format

    def say(self, text: str) -> None:
        """What is no data: beside tables, but on standard error beside data."""
        print(text, file=sys.stdout if self.form == "table" else sys.stderr, flush=True)

    def show(self, *tables: Table, data: pd.DataFrame | Mapping[str, pd.DataFrame]) -> None:
        """Tables, or the data that they were made of, in full precision.

        Several frames of data are one in CSV, with the column `table`, and one object in JSON.
        """
        if self.form == "csv":
            sys.stdout.write(csv_text(data))
        elif self.form == "json":
            sys.stdout.write(json_text(data))
        for table in tables if self.form == "table" else ():
            sys.stdout.write(table.text(terminal_width()))


def terminal_width() -> int:
    """The columns of standard output's terminal; where it is none, whatever a table takes."""
    from rich.console import Console

    return int(Console(file=sys.stdout).width) if sys.stdout.isatty() else WHOLE


def csv_text(data: pd.DataFrame | Mapping[str, pd.DataFrame]) -> str:
    """Comma-separated, in full precision."""
    import pandas as pd

    if isinstance(data, Mapping):
        data = pd.concat(dict(data), names=["table", None]).reset_index("table")
    return str(data.to_csv(index=False, lineterminator="\n"))


def json_text(data: pd.DataFrame | Mapping[str, pd.DataFrame]) -> str:
    """A list of rows, in full precision; null where there is no number."""
    import json

    if isinstance(data, Mapping):
        document: Any = {name: _records(frame) for name, frame in data.items()}
    else:
        document = _records(data)
    return json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
