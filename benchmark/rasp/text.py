"""A program in words: every S-Op with what it is computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from knowncircuits.rasp.aggregates import Aggregate
from knowncircuits.rasp.expressions import Expression, Full, LinearSequenceMap, SOp
from knowncircuits.rasp.program import INPUTS, flatten
from knowncircuits.rasp.selectors import (
    Comparison,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
)

Names = Mapping[Expression, str]  # of S-Ops


def program_text(output: SOp) -> str:
    """One line for each S-Op, in the order of computation.

    Functions are not shown: Python keeps no source of a lambda that a program is built from.
    """
    program = flatten(output)
    names: Names = {step.sop: step.name for step in program.steps}
    lines = []
    for step in program.in_order:
        if step.kind in INPUTS:
            continue
        kind, arguments = type(step.sop).__name__, ", ".join(_arguments(step.sop, names))
        encoding = "  # numerical" if step.numerical else ""
        lines.append(f"{step.name} = {kind}({arguments}){encoding}")
    return "\n".join(lines) or program.output.name


def _arguments(sop: SOp, names: Names) -> Iterator[str]:
    yield from _children(sop, names)
    if isinstance(sop, Full):
        yield repr(sop.fill)
    if isinstance(sop, LinearSequenceMap):
        yield from (f"{sop.fst_fac:g}", f"{sop.snd_fac:g}")
    if isinstance(sop, Aggregate) and sop.default is not None:
        yield f"default={sop.default!r}"


def _children(expr: Expression, names: Names) -> list[str]:
    return [
        _selector(child, names) if isinstance(child, Selector) else names[child]
        for child in expr.children
    ]


def _selector(selector: Selector, names: Names) -> str:
    """In the words of the language, or where it has none, as S-Ops are shown."""
    parts = _children(selector, names)
    match selector:
        case Select():
            predicate = selector.predicate
            sign = predicate.value if isinstance(predicate, Comparison) else "~"
            return f"key {parts[0]} {sign} query {parts[1]}"
        case SelectorNot():
            return f"not ({parts[0]})"
        case SelectorAnd():
            return f"({parts[0]}) and ({parts[1]})"
        case SelectorOr():
            return f"({parts[0]}) or ({parts[1]})"
    return f"{type(selector).__name__}({', '.join(parts)})"
