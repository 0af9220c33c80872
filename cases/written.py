"""Programs as plain data: JSON of their steps, of which cases are made without running any code.

A step is a list: what it does, with which function, and what it reads: `tokens`, `indices`, or an
earlier step, `v1` being the first. The last step is the output.

    ["map", "<", 2, "v1"]            a function of a variable and a constant
    ["pair", "max", "v1", "tokens"]  of two variables
    ["triple", "most", "v1", "v2", "v3"]
    ["width", SELECTOR]              how many positions are selected
    ["move", SELECTOR, "tokens"]     the value there; None where nothing is selected
    ["mean", SELECTOR, "v1"]         over the selected positions, 0 where there is none; a number
    ["sum", SELECTOR, "v1"]

A selector is `["select", "==", KEYS, QUERIES]`, whose queries may be a constant, or `["and", ...]`,
`["or", ...]` or `["not", ...]` of selectors.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from knowncircuits.cases.case import Case, uniform
from knowncircuits.cases.samplers import uniform_maximum
from knowncircuits.cases.sampling import Sampler
from knowncircuits.errors import ProgramError, ResultError
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import write_text
from knowncircuits.rasp.aggregates import Aggregate, AggregateSum, SelectorWidth
from knowncircuits.rasp.expressions import (
    Full,
    Map,
    NarySequenceMap,
    SequenceMap,
    SOp,
    WithConstant,
    indices,
    tokens,
)
from knowncircuits.rasp.functions import numerical
from knowncircuits.rasp.selectors import Comparison, Select, Selector, SelectorNot
from knowncircuits.rasp.values import Value

T = TypeVar("T")

FAMILY = "generated"
MOST = 64  # tokens, positions and steps
INPUTS: Mapping[str, SOp] = {"tokens": tokens, "indices": indices}
SAMPLERS: Mapping[str, Sampler] = {"uniform": uniform, "uniform_maximum": uniform_maximum}
Step = tuple[Any, ...]  # of texts, numbers, and selectors, which are steps' equals in shape


def both(x: Any, y: Any) -> bool:
    """Whether both are true, or other than 0."""
    return bool(x) and bool(y)


def either(x: Any, y: Any) -> bool:
    """Whether one at least is."""
    return bool(x) or bool(y)


def most(x: Any, y: Any, z: Any) -> bool:
    """Whether two of three are."""
    return bool(x) + bool(y) + bool(z) >= 2


def choose(x: Any, y: Any, z: Any) -> Value:
    """The second where the first is true, else the third."""
    chosen: Value = y if x else z
    return chosen


def total(x: Any, y: Any, z: Any) -> Value:
    """The sum of three."""
    found: Value = x + y + z
    return found


# With a constant on the right.
UNARY: Mapping[str, Callable[[Any, Any], Value]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "%": operator.mod,
}
BINARY: Mapping[str, Callable[[Any, Any], Value]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "max": max,
    "min": min,
    "and": both,
    "or": either,
}
TERNARY: Mapping[str, Callable[[Any, Any, Any], Value]] = {
    "sum": total,
    "max": max,
    "min": min,
    "most": most,
    "if": choose,
}
COMPARISONS: Mapping[str, Comparison] = {
    comparison.value: comparison
    for comparison in Comparison
    if comparison not in (Comparison.TRUE, Comparison.FALSE)
}


@dataclass(frozen=True)
class Written:
    """A program with its inputs: equal ones are the same case, by the same name."""

    tokens: int  # the alphabet is 0, 1, ... up to one less
    max_len: int
    causal: bool
    sampler: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """A name that follows from all of it."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{FAMILY}_{sha256(text.encode()).hexdigest()[:8]}"

    @property
    def size(self) -> int:
        """How many steps."""
        return len(self.steps)

    @cached_property
    def depth(self) -> int:
        """Steps on the longest path from the input to the output."""
        depths = dict.fromkeys(INPUTS, 0)
        for i, step in enumerate(self.steps):
            depths[f"v{i + 1}"] = 1 + max(depths[read] for read in reads(step))
        return depths[f"v{self.size}"]

    @cached_property
    def fan_in(self) -> int:
        """Different variables that the step which reads most of them reads."""
        return max(len(set(reads(step))) for step in self.steps)

    def program(self) -> SOp:
        """The program; raises ProgramError for a step that is none."""
        known = dict(INPUTS)
        for i, step in enumerate(self.steps):
            name = f"v{i + 1}"
            known[name] = _sop(step, known).named(name)
        return known[f"v{self.size}"]

    def case(self) -> Case:
        """The case; raises ProgramError for steps, sizes or a sampler that cannot be."""
        sizes = (self.tokens, self.max_len, self.size)
        if not all(1 <= size <= MOST for size in sizes):
            raise ProgramError(f"expected 1 to {MOST} tokens, positions and steps, got {sizes}")
        program = self.program()
        return Case(
            name=self.name,
            family=FAMILY,
            description=f"A random program of {self.size} steps, {self.depth} deep, the widest of "
            f"which reads {self.fan_in}.",
            program=program,
            vocab=tuple(range(self.tokens)),
            max_len=self.max_len,
            causal=self.causal,
            sampler=_known(SAMPLERS, self.sampler, "sampler"),
        )


def reads(term: object) -> Iterator[str]:
    """The variables that a step or a selector reads, in its order."""
    match term:
        case ["map" | "select" | "pair" | "triple", _, *terms] | [_, *terms]:
            for inner in terms:
                yield from reads(inner)
        case str():
            yield term


def read_written(path: str | Path) -> list[Written]:
    """The programs of a file, in its order.

    Raises ResultError for a file that cannot be read, what is no program in it, and a name that is
    not the program's.
    """
    from pydantic import TypeAdapter

    programs = []
    for name, found in read_as(TypeAdapter(dict[str, Written]), path, "programs by name").items():
        program = replace(found, steps=_frozen(found.steps))
        try:
            program.case()
        except ProgramError as error:
            raise ResultError(f"{path}: {name}: {error}") from error
        if program.name != name:
            raise ResultError(f"{path}: expected the program of {name}, got that of {program.name}")
        programs.append(program)
    return programs


def read_cases(path: str | Path) -> dict[str, Case]:
    """Their cases by name; raises ResultError as `read_written`."""
    return {program.name: program.case() for program in read_written(path)}


def write_written(programs: Iterable[Written], path: str | Path) -> None:
    """Write a line for each program; raises ResultError if that fails."""
    lines = []
    for program in programs:
        lines.append(f"{json.dumps(program.name)}: {json.dumps(asdict(program))}")
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _sop(step: Step, known: Mapping[str, SOp]) -> SOp:
    match step:
        case ["map", f, int() | float() as constant, of]:
            function = WithConstant(_known(UNARY, f, "function of one"), constant)
            return Map(function, _variable(of, known), simplify=False)
        case ["pair", f, *of] if len(of) == 2:
            fst, snd = (_variable(name, known) for name in of)
            return SequenceMap(_known(BINARY, f, "function of two"), fst, snd)
        case ["triple", f, *of] if len(of) == 3:
            parts = (_variable(name, known) for name in of)
            return NarySequenceMap(_known(TERNARY, f, "function of three"), *parts)
        case ["width", selector]:
            return SelectorWidth(_selector(selector, known))
        case ["move", selector, of]:
            return Aggregate(_selector(selector, known), _variable(of, known))
        case ["mean", selector, of]:
            aggregate = Aggregate(_selector(selector, known), _variable(of, known), default=0)
            return numerical(aggregate)
        case ["sum", selector, of]:
            return AggregateSum(_selector(selector, known), _variable(of, known))
    raise ProgramError(f"expected a step, got {_shown(step)}")


def _selector(term: object, known: Mapping[str, SOp]) -> Selector:
    match term:
        case ["select", f, keys, queries]:
            constant = isinstance(queries, int)
            query = Full(queries) if constant else _variable(queries, known)
            comparison = _known(COMPARISONS, f, "comparison")
            return Select(_variable(keys, known), query, comparison)
        case ["and", fst, snd]:
            return _selector(fst, known) & _selector(snd, known)
        case ["or", fst, snd]:
            return _selector(fst, known) | _selector(snd, known)
        case ["not", inner]:
            return SelectorNot(_selector(inner, known))
    raise ProgramError(f"expected a selector, got {_shown(term)}")


def _variable(name: object, known: Mapping[str, SOp]) -> SOp:
    return _known(known, name, "variable")


def _known(table: Mapping[str, T], name: object, what: str) -> T:
    if not isinstance(name, str) or name not in table:
        raise ProgramError(f"expected a {what} among {', '.join(table)}; got {_shown(name)}")
    return table[name]


def _frozen(term: Any) -> Any:
    return tuple(map(_frozen, term)) if isinstance(term, list | tuple) else term


def _shown(term: object) -> str:
    return json.dumps(term)[:60]
