"""Pass 2: the program as a list of S-Ops, in the order of a breadth-first walk from its output.

That order decides which of several heads in a layer comes first; it is tracr's, so that the
circuits of both compilers can be compared name by name.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from knowncircuits.compiler.selectors import SelectorPass, Term
from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Expression,
    IndicesType,
    SelectorWidth,
    SOp,
    TokensType,
)

# The compiler's own variables: the input, and the constants of the embedding.
TOKENS, INDICES = TokensType.default_name, IndicesType.default_name
ONE, BOS_FLAG, PAD_FLAG = "one", "tokens:BOS", "tokens:PAD"
RESERVED = frozenset({TOKENS, INDICES, ONE, BOS_FLAG, PAD_FLAG})


@dataclass(frozen=True)
class Program:
    """S-Ops by a unique name each."""

    output: SOp
    sops: tuple[SOp, ...]  # breadth first from the output
    names: dict[int, str]  # by id; no two variables share one, see `unique_name`
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


def unique_name(name: str, taken: Collection[str]) -> str:
    """The name itself, or where that is taken with the first number that makes it another."""
    numbered = (f"{name}_{n}" for n in itertools.count(2))
    return name if name not in taken else next(new for new in numbered if new not in taken)


def _unique_names(sops: tuple[SOp, ...]) -> dict[int, str]:
    """Every S-Op's own name, as far as no other, and nothing of the compiler's, has it already.

    Names that a program gives go before those that kinds of S-Ops have by default. The input is
    one variable under whatever name it is used, and keeps its own.
    """
    names = {id(e): e.default_name for e in sops if isinstance(e, (TokensType, IndicesType))}
    taken = set(RESERVED)
    for expr in sorted(sops, key=lambda e: "name" not in e.annotations):
        if id(expr) not in names:
            names[id(expr)] = unique_name(expr.name, taken)
            taken.add(names[id(expr)])
    return names
