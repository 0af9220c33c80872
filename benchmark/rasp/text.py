"""A program in words: every S-Op with what it is computed from, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from knowncircuits.rasp.aggregates import Aggregate
from knowncircuits.rasp.expressions import (
    ConstantSOp,
    Expression,
    Full,
    LinearSequenceMap,
    Map,
    NarySequenceMap,
    SequenceMap,
    SOp,
)
from knowncircuits.rasp.program import INPUTS, flatten
from knowncircuits.rasp.selectors import (
    Comparison,
    ConstantSelector,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
)
from knowncircuits.rasp.sources import applied_text, definition_text, named_functions

Names = Mapping[Expression, str]  # of S-Ops


def program_text(output: SOp) -> str:
    """One line for each S-Op, in the order of computation, and the functions that these call.

    What a lambda computes is shown where Python can read its source; see `sources`.
    """
    return "\n\n".join(filter(None, (steps_text(output), functions_text(output))))


def steps_text(output: SOp) -> str:
    """One line for each S-Op, in the order of computation."""
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


def functions_text(output: SOp) -> str:
    """The sources of functions that the program calls by name; empty where there are none."""
    found = [
        definition_text(named)
        for step in flatten(output).in_order
        for f in _functions(step.sop)
        for named in named_functions(f)
    ]
    return "\n\n".join(dict.fromkeys(filter(None, found)))


def _functions(expr: Expression) -> Iterator[Callable[..., Any]]:
    """The functions and predicates of an S-Op, and of the selectors that it reads."""
    match expr:
        case LinearSequenceMap():
            return
        case Map() | SequenceMap() | NarySequenceMap():
            yield expr.f
        case Select() if not isinstance(expr.predicate, Comparison):
            yield expr.predicate
    for child in expr.children:
        if isinstance(child, Selector):
            yield from _functions(child)


def _arguments(sop: SOp, names: Names) -> Iterator[str]:
    children = _children(sop, names)
    if isinstance(sop, Map | SequenceMap | NarySequenceMap) and not isinstance(
        sop, LinearSequenceMap
    ):
        text, unread = applied_text(sop.f, children)
        yield f"{text}; reads {', '.join(dict.fromkeys(unread))}" if unread else text
    elif isinstance(sop, ConstantSOp):
        yield repr(list(sop.value))
    else:
        yield from children
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
            predicate, pair = selector.predicate, [f"key {parts[0]}", f"query {parts[1]}"]
            if isinstance(predicate, Comparison):
                return f"{pair[0]} {predicate.value} {pair[1]}"
            return applied_text(predicate, pair)[0]
        case ConstantSelector():
            return f"{type(selector).__name__}({[list(row) for row in selector.value]})"
        case SelectorNot():
            return f"not ({parts[0]})"
        case SelectorAnd():
            return f"({parts[0]}) and ({parts[1]})"
        case SelectorOr():
            return f"({parts[0]}) or ({parts[1]})"
    return f"{type(selector).__name__}({', '.join(parts)})"
