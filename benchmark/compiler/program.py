"""Pass 2: the program as a list of S-Ops, in the order of a breadth-first walk from its output.

That order decides which of several heads in a layer comes first; it is tracr's, so that the
circuits of both compilers can be compared name by name.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from knowncircuits.compiler.selectors import SelectorPass, Term
from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Expression,
    SelectorWidth,
    SOp,
)


@dataclass(frozen=True)
class Program:
    """S-Ops by a unique name each."""

    output: SOp
    sops: tuple[SOp, ...]  # breadth first from the output
    names: dict[int, str]  # by id
    selectors: SelectorPass

    def terms(self, expr: SOp) -> tuple[Term, ...]:
        """The conjunction that an S-Op's selector is; empty for one without selector."""
        if isinstance(expr, (Aggregate, AggregateSum, SelectorWidth)):
            return self.selectors.terms(expr.selector)
        return ()

    def inputs(self, expr: SOp) -> tuple[SOp, ...]:
        """The S-Ops that an S-Op is computed from, through its selector too."""
        found: list[SOp] = []
        for child in self.selectors.reads(expr):
            parts = (child,) if isinstance(child, SOp) else self.selectors.reads(child)
            found += [part for part in parts if isinstance(part, SOp)]
        return tuple(found)

    def dependency_order(self) -> tuple[SOp, ...]:
        """The S-Ops, each after all that it is computed from."""
        done: dict[int, SOp] = {}
        stack: list[tuple[SOp, bool]] = [(self.output, False)]
        while stack:
            expr, expanded = stack.pop()
            if id(expr) in done:
                continue
            if expanded:
                done[id(expr)] = expr
            else:
                stack.append((expr, True))
                stack += [(child, False) for child in reversed(self.inputs(expr))]
        return tuple(done.values())


def flatten(output: SOp) -> Program:
    """Walk the program from its output; raises CompileError for what is no program."""
    if not isinstance(output, SOp):
        raise CompileError([f"expected an S-Op as the program's output, got {output!r}"])
    selectors = SelectorPass()
    seen: dict[int, Expression] = {id(output): output}
    queue: deque[Expression] = deque([output])
    while queue:
        for child in selectors.reads(queue.popleft()):
            if id(child) not in seen:
                seen[id(child)] = child
                queue.append(child)
    sops = tuple(expr for expr in seen.values() if isinstance(expr, SOp))
    return Program(output, sops, _unique_names(sops), selectors)


def _unique_names(sops: tuple[SOp, ...]) -> dict[int, str]:
    names: dict[int, str] = {}
    taken: dict[str, int] = {}
    for expr in sops:
        count = taken[expr.name] = taken.get(expr.name, 0) + 1
        names[id(expr)] = expr.name if count == 1 else f"{expr.name}_{count}"
    if len(set(names.values())) < len(names):  # a program that itself says `map_2`
        names = {key: f"{name}.{i}" for i, (key, name) in enumerate(names.items())}
    return names
