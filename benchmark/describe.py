"""A program in words: every S-Op with what it is computed from."""

from __future__ import annotations

from knowncircuits.compiler.program import flatten
from knowncircuits.rasp.expressions import (
    Aggregate,
    Comparison,
    Full,
    LinearSequenceMap,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SOp,
    is_numerical,
)


def program_text(output: SOp) -> str:
    """One line for each S-Op, in the order of computation.

    Functions are not shown: Python keeps no source of a lambda that a program is built from.
    """
    program = flatten(output)
    lines = []
    for expr in program.dependency_order():
        if not expr.children and not isinstance(expr, Full):
            continue  # tokens and indices
        parts = [
            _selector(child, program.names)
            if isinstance(child, Selector)
            else program.names[id(child)]
            for child in expr.children
        ]
        if isinstance(expr, Full):
            parts.append(repr(expr.fill))
        if isinstance(expr, LinearSequenceMap):
            parts += [f"{expr.fst_fac:g}", f"{expr.snd_fac:g}"]
        if isinstance(expr, Aggregate) and expr.default is not None:
            parts.append(f"default={expr.default!r}")
        kind = type(expr).__name__
        encoding = "  # numerical" if is_numerical(expr) else ""
        lines.append(f"{program.names[id(expr)]} = {kind}({', '.join(parts)}){encoding}")
    return "\n".join(lines) or program.names[id(output)]


def _selector(selector: Selector, names: dict[int, str]) -> str:
    if isinstance(selector, Select):
        keys = names.get(id(selector.keys), selector.keys.name)
        queries = names.get(id(selector.queries), selector.queries.name)
        predicate = selector.predicate
        sign = predicate.value if isinstance(predicate, Comparison) else "~"
        return f"key {keys} {sign} query {queries}"
    if isinstance(selector, SelectorNot):
        return f"not ({_selector(selector.inner, names)})"
    assert isinstance(selector, (SelectorAnd, SelectorOr))
    word = "and" if isinstance(selector, SelectorAnd) else "or"
    return f"({_selector(selector.fst, names)}) {word} ({_selector(selector.snd, names)})"
