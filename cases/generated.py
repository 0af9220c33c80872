"""The suite `generated`: random programs that are shipped as data, and known by their names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from knowncircuits.cases.case import Case
from knowncircuits.cases.written import read_cases

SHIPPED = Path(__file__).with_name("generated.json")


@cache
def generated_cases() -> Mapping[str, Case]:
    """The cases in the order in which they were drawn."""
    return read_cases(SHIPPED)
