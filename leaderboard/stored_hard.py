"""What methods reach on the hard suite, as the site shows it: stored beside the submissions."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from knowncircuits.errors import ResultError
from knowncircuits.evaluation.comparison.radar import LEVEL, Radar
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import write_text

STORED = Path(__file__).parent / "hard.json"
DIGITS = 4


@dataclass(frozen=True)
class Reached:
    """What a method reaches on a level: the columns of `Radar.levels`."""

    experiment: str
    pairs: str
    level: str
    method: str
    score: float  # average precision above chance
    least: float  # of a draw of pairs
    most: float
    average_precision: float
    economy: float | None  # None where none is defined


SCHEMA = TypeAdapter(list[Reached])


def write_hard(found: Radar, path: Path = STORED) -> None:
    """Store a row for each method and level; raises ResultError if that fails."""
    numbers = ["score", "least", "most", "average_precision", "economy"]
    table = found.levels.round(dict.fromkeys(numbers, DIGITS)).astype(object)
    table = table.where(table.notna(), None)
    rows = [Reached(*row) for row in table[[f.name for f in fields(Reached)]].to_numpy().tolist()]
    lines = ",\n".join(json.dumps(asdict(row), allow_nan=False) for row in rows)
    write_text(path, f"[\n{lines}\n]\n")


def beside(stored: Radar, found: Radar) -> Radar:
    """What was found, and what is stored of methods that were not run again.

    Raises ResultError where a level of those was not run.
    """
    again = stored.levels["method"].isin(found.levels["method"])
    kept = stored.levels[~again]
    if kept.empty:
        return found
    of_kept = pd.MultiIndex.from_frame(kept[LEVEL])
    of_found = pd.MultiIndex.from_frame(found.levels[LEVEL])
    if lacking := ["_".join((name, level)) for name, _, level in of_kept.difference(of_found)]:
        raise ResultError(
            f"expected results on all levels that are stored of other methods, got none on "
            f"{', '.join(lacking)}"
        )
    levels = pd.concat([found.levels[of_found.isin(of_kept)], kept])
    return Radar(levels.sort_values(["pairs", "method"], kind="stable"), found.left_out)


def read_hard(path: Path = STORED) -> Radar | None:
    """What is stored; None where nothing is, and ResultError for a broken file."""
    if not path.exists():
        return None
    rows = read_as(SCHEMA, path, "what methods reach on the hard suite")
    table = pd.DataFrame([asdict(row) for row in rows])
    return Radar(table.astype({"economy": float}), ())
