"""Results that a method failed to give: told in a line, with the traceback in a file."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowncircuits.errors import ResultError
from knowncircuits.files.writing import write_text


@dataclass(frozen=True)
class Failure:
    """A method that raised an error on one model and one draw of pairs, or whose process died."""

    label: str
    case: str
    variant: str
    seed: int
    error: str  # in a line
    log: Path | None = None  # with the traceback, where there is one
    fresh: bool = False  # now, and not in an earlier run

    def __str__(self) -> str:
        log = f" (traceback in {self.log})" if self.log else ""
        return f"{self.label} on {self.case} {self.variant}, seed {self.seed}: {self.error}{log}"


def error_text(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def write_failure(path: Path, settings: Mapping[str, Any], error: BaseException) -> None:
    """Write the settings of the run in a line of JSON, then the traceback, for people to read."""
    trace = "".join(traceback.format_exception(error))
    write_text(path, f"{json.dumps(settings)}\n{error_text(error)}\n\n{trace}")


def read_failure(path: Path) -> tuple[dict[str, Any], str]:
    """The settings, and the error in a line; raises ResultError for a file that is none."""
    try:
        first, error, *_ = path.read_text(encoding="utf-8").split("\n")
        settings: dict[str, Any] = dict(json.loads(first))
    except (OSError, ValueError, TypeError) as problem:
        raise ResultError(f"{path}: expected what a method failed of, got {problem}") from problem
    return settings, error
