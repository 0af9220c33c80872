"""The board as CSV, JSON and Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from knowncircuits.evaluation.figures.pictures import check_ending
from knowncircuits.files.writing import write_text

ENDINGS = (".csv", ".json", ".md")
FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")  # how one begins in a spreadsheet
BEGIN, END = "<!-- board -->", "<!-- /board -->"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows by the names of columns."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]


def board_csv(table: pd.DataFrame, digits: int | None = None) -> str:
    """Comma-separated, with nothing that a spreadsheet would run.

    Text that begins as a formula does gets an apostrophe before it. Numbers are in full precision,
    or with so many digits behind the point.
    """
    texts = table.select_dtypes(exclude="number").columns
    table = _rounded(table.assign(**{name: table[name].map(_inert) for name in texts}), digits)
    ranks = dict.fromkeys({"rank_low", "rank_high"} & set(table.columns), "Int64")
    return str(table.astype(ranks).to_csv(index=False, lineterminator="\n"))


def board_json(table: pd.DataFrame, digits: int | None = None) -> str:
    """A list of objects, null where there is no number; precision as for `board_csv`."""
    rows = [
        {name: _plain(value, name) for name, value in row.items()}
        for row in records(_rounded(table, digits))
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def board_markdown(table: pd.DataFrame) -> str:
    """A table to be read, with intervals and ranges of ranks."""
    header, rows = cells(table)
    lines = [header, ["---:", "---", "---", "---", "---:", "---", "---:", "---:"]]
    lines += [[_escape(cell) if i == 1 else cell for i, cell in enumerate(row)] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A board's header and rows, in words."""
    header = ["rank", "method", "AUROC", "AP", "models", "division"]
    header += ["passes per pair", "seconds per model"]
    rows = []
    for row in records(table):
        rank = _rank(row["rank_low"], row["rank_high"])
        if row["kind"] == "control" or row["models"] < row["of_models"]:
            rank = "control" if row["kind"] == "control" else "partial"
        areas = [
            _area(*(row[f"{value}{end}"] for end in ("", "_low", "_high")))
            for value in ("auroc", "average_precision")
        ]
        models = f"{row['models']} of {row['of_models']}"
        costs = [_short(row[name]) for name in ("passes", "seconds")]
        rows.append([rank, row["title"], *areas, models, _division(row), *costs])
    return header, rows


FORMATS = {"csv": board_csv, "json": board_json, "markdown": board_markdown}


def save_board(table: pd.DataFrame, path: Path) -> None:
    """Write the board, by the file's ending.

    In a Markdown file that has a place for it, between `<!-- board -->` and `<!-- /board -->`, the
    rest stays.

    Raises ResultError for another ending, or if that fails.
    """
    check_ending(path, ENDINGS)
    form = {".csv": board_csv, ".json": board_json, ".md": board_markdown}[path.suffix]
    text = form(table)
    if path.suffix == ".md" and path.exists():
        before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if end:
            text = f"{before}{begin}\n\n{text}\n{end}{after}"
    write_text(path, text)


def _division(row: Mapping[str, Any]) -> str:
    """The closed one with its budget, in passes for each pair."""
    return f"closed, {row['budget']:,.0f}" if row["division"] == "closed" else "open"


def _rank(low: float, high: float) -> str:
    if math.isnan(low):
        return "–"
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def _area(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" + ("" if math.isnan(low) else f" ({low:.3f}–{high:.3f})")


def _short(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "<0.001" if 0 < value < 0.001 else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _escape(text: str) -> str:
    """What Markdown and HTML read as theirs, as text."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for character in "\\`*_[]|~":
        text = text.replace(character, f"\\{character}")
    return text


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _rounded(table: pd.DataFrame, digits: int | None) -> pd.DataFrame:
    """The resolution, which may be of any size, stays as it is."""
    if digits is None:
        return table
    return table.round({name: digits for name in table.columns if name != "resolution"})


def _plain(value: object, column: str) -> object:
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if column.startswith("rank") else value
    return value
