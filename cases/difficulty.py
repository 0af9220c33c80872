"""How hard each case is: what `knowncircuits maintain difficulty` has measured and stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from knowncircuits.errors import ResultError
from knowncircuits.files.writing import write_text

if TYPE_CHECKING:
    import pandas as pd

STORED = Path(__file__).with_name("difficulty.json")
GENERATED = Path(__file__).with_name("generated_difficulty.json")  # of the suite `generated`


@dataclass(frozen=True)
class Difficulty:
    """What makes the circuit of a case's compiled model easy or hard to find."""

    case: str
    layers: int
    heads: int  # in each layer
    variables: int  # values of the program's expressions, tokens and indices among them
    depth: int  # edges on the longest path of true edges
    nodes: int  # with logits
    edges: int  # at q, k and v
    head_edges: int  # q, k and v of a head merged
    undetermined_edges: int  # no interchange can tell
    true_edges: int  # in the circuit
    true_head_edges: int
    true_nodes: int  # sources of true edges
    detected_edges: int  # true edges that change the output for some pair
    rarest: float  # share of pairs for which the least visible true edge does
    pairs: int  # that were tried, more where an edge was not detected
    auroc: Mapping[str, float | None]  # of scores that look at no model, by control
    degenerate: bool  # no attention, or fewer than three true edges
    undetected: Mapping[str, str]  # edges that the program reads and no pair detects, and why


@cache
def stored_difficulties() -> Mapping[str, Difficulty]:
    """The stored difficulties by case."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in (STORED, GENERATED)]
    return {name: Difficulty(name, **row) for rows in files for name, row in rows.items()}


def load_difficulty(name: str) -> Difficulty:
    """The stored difficulty of a case; raises ResultError for a case that was not measured."""
    if name not in stored_difficulties():
        raise ResultError(
            f"no difficulty of {name!r} is stored; `knowncircuits maintain difficulty` does"
        )
    return stored_difficulties()[name]


def difficulty_table(difficulties: Iterable[Difficulty]) -> pd.DataFrame:
    """A row for each case, with a column for each control; `undetected` is how many edges."""
    import pandas as pd

    rows = []
    for difficulty in difficulties:
        row = asdict(difficulty)
        auroc = {f"auroc_{control}": value for control, value in row.pop("auroc").items()}
        rows.append({**row, **auroc, "undetected": len(row["undetected"])})
    return pd.DataFrame(rows)


def write_difficulties(difficulties: Iterable[Difficulty], path: Path = STORED) -> None:
    """Store a line for each case, in order of name; raises ResultError if that fails."""
    lines = []
    for difficulty in sorted(difficulties, key=lambda d: d.case):
        row = asdict(difficulty)
        lines.append(f"{json.dumps(row.pop('case'))}: {json.dumps(row)}")
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    stored_difficulties.cache_clear()
