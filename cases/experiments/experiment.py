"""An experiment of the hard suite: one question, asked at several levels of difficulty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from knowncircuits.cases.case import Case
from knowncircuits.cases.choices import Direction

Tag = Literal[
    "gates",
    "redundancy",
    "cancellation",
    "saturation",
    "weak",
    "scale",
    "sharing",
    "position",
    "superposition",
    "norm",
    "data",
]


@dataclass(frozen=True)
class Experiment:
    """A question about methods, as behaviour suites ask them (bsuite: Osband et al., 2020)."""

    name: str
    question: str
    dial: str  # what differs between levels
    levels: tuple[Any, ...]  # from easy to hard
    tags: tuple[Tag, ...]  # by which radars gather experiments
    build: Callable[[Any], Case]  # the case of a level: named NAME_LEVEL, of the family NAME
    directions: tuple[Direction, ...] = ()  # of pairs, beside random ones

    @cached_property
    def cases(self) -> dict[Any, Case]:
        """The case of each level."""
        return {level: self.build(level) for level in self.levels}
