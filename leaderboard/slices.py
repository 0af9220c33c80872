"""What is averaged over: suites, families and levels of difficulty, of cases that have models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from knowncircuits.cases.difficulty import load_difficulty
from knowncircuits.cases.registry import APART, CASES, SUITES, list_cases
from knowncircuits.errors import UnknownNameError
from knowncircuits.leaderboard.truth import Certified

HEADLINE = "structural"
# By the longest path of true edges; see `level_of`.
LEVELS = {"shallow": "up to 3 edges deep", "middle": "4 or 5 edges deep", "deep": "6 or more"}


@dataclass(frozen=True)
class Slice:
    """Cases over which numbers are averaged."""

    name: str
    kind: str  # suite, family or difficulty
    title: str
    cases: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its name, unlike that of a slice of another kind."""
        return slice_key(self.kind, self.name)


def slice_key(kind: str, name: str) -> str:
    """The key of the slice of a kind and a name."""
    return name if kind == "suite" else f"{kind}:{name}"


def level_of(depth: int) -> str:
    """What a circuit so deep is called: shallow, middle or deep."""
    return "shallow" if depth <= 3 else "middle" if depth <= 5 else "deep"


def list_slices(models: Mapping[str, Certified]) -> list[Slice]:
    """All slices that have a case: `structural` first, then the other suites.

    Families and levels of difficulty are those of structural cases, since degenerate ones carry no
    headline. Cases of a user's own are structural ones, without a family and a level.
    """
    there = list(dict.fromkeys(model.case for model in models.values()))
    own = [name for name in there if name not in CASES]
    structural = [name for name in there if name in set(list_cases(HEADLINE))]
    found = []
    suites = [suite for suite in SUITES if suite not in APART]  # boards are not of those
    for suite in sorted(suites, key=lambda name: (name != HEADLINE, name != "all")):
        inside = {*list_cases(suite), *(own if suite in (HEADLINE, "all") else ())}
        found.append(Slice(suite, "suite", suite, tuple(c for c in there if c in inside)))
    for family in dict.fromkeys(CASES[name].family for name in structural):
        cases = tuple(name for name in structural if CASES[name].family == family)
        found.append(Slice(family, "family", family, cases))
    for level, title in LEVELS.items():
        cases = tuple(name for name in structural if level_of(load_difficulty(name).depth) == level)
        found.append(Slice(level, "difficulty", f"{level}: {title}", cases))
    return [s for s in found if s.cases]


def load_slice(slices: Iterable[Slice], key: str) -> Slice:
    """The slice of a key; raises UnknownNameError, with the close ones, for another."""
    by_key = {s.key: s for s in slices}
    if key not in by_key:
        raise UnknownNameError("slice", key, by_key)
    return by_key[key]
