"""Pass 6: every S-Op as an attention head, as a part of an MLP, or as both."""

from __future__ import annotations

from dataclasses import dataclass, field

from knowncircuits.compiler.heads import Head, aggregate_head, sum_head, width_head
from knowncircuits.compiler.layout import Layout
from knowncircuits.compiler.mlps import (
    Mlp,
    Steps,
    constant_unit,
    decode_sum,
    decode_width,
    linear_units,
    map_units,
    pair_units,
)
from knowncircuits.compiler.program import Program
from knowncircuits.compiler.schedule import is_head, needs_mlp
from knowncircuits.compiler.selectors import as_map
from knowncircuits.compiler.values import Domains
from knowncircuits.compiler.variables import Component, Read, Variable
from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Full,
    LinearSequenceMap,
    SelectorWidth,
    SequenceMap,
    SOp,
)
from knowncircuits.vocabulary import Vocabulary


@dataclass
class Components:
    """What every node is made of."""

    heads: dict[str, Head] = field(default_factory=dict)
    mlps: dict[str, list[Mlp]] = field(default_factory=dict)
    reads: dict[str, dict[str, list[Read]]] = field(default_factory=dict)  # by node, destination
    writes: dict[str, list[Variable]] = field(default_factory=dict)
    steps: dict[int, Steps] = field(default_factory=dict)  # by the id of the S-Op

    def add_head(self, head: Head, out: Variable) -> None:
        """A head, at the node that its output variable has been given."""
        self.heads[out.node] = head
        reads = {f"{out.node}<{letter}>": reads for letter, reads in head.reads.items()}
        self._record(out, reads)

    def add_mlp(self, mlp: Mlp, out: Variable) -> None:
        """More hidden units for the MLP that its output variable has been given."""
        self.mlps.setdefault(out.node, []).append(mlp)
        self._record(out, {out.node: mlp.reads})

    def _record(self, out: Variable, reads: dict[str, list[Read]]) -> None:
        self.writes.setdefault(out.node, []).append(out)
        node = self.reads.setdefault(out.node, {})
        for destination, more in reads.items():
            node.setdefault(destination, []).extend(more)

    def listed(self) -> tuple[Component, ...]:
        """The nodes with what they read and write."""
        return tuple(
            Component(node, {d: tuple(r) for d, r in self.reads[node].items()}, tuple(writes))
            for node, writes in self.writes.items()
        )


def build(program: Program, domains: Domains, layout: Layout, vocabulary: Vocabulary) -> Components:
    """Build every S-Op's head and MLP part; raises CompileError with all reasons why not."""
    components = Components()
    reasons: list[str] = []
    for expr in program.sops:
        if is_head(expr):
            head = _head(expr, program, domains, layout)
            components.add_head(head, layout.raw.get(id(expr), layout.of(expr)))
        if needs_mlp(expr):
            try:
                mlp = _mlp(expr, domains, layout, vocabulary)
            except CompileError as error:
                reasons += [f"{program.names[id(expr)]}: {reason}" for reason in error.reasons]
            else:
                components.add_mlp(mlp, layout.of(expr))
                if mlp.steps is not None:
                    components.steps[id(expr)] = mlp.steps
    if reasons:
        raise CompileError(reasons)
    return components


def _head(expr: SOp, program: Program, domains: Domains, layout: Layout) -> Head:
    terms = program.terms(expr)
    if isinstance(expr, Aggregate):
        return aggregate_head(terms, layout.of(expr.sop), layout.of(expr), expr.default, layout)
    if isinstance(expr, AggregateSum):
        return sum_head(terms, layout.of(expr.sop), layout.raw[id(expr)], layout)
    return width_head(terms, layout.raw[id(expr)], layout)


def _mlp(expr: SOp, domains: Domains, layout: Layout, vocabulary: Vocabulary) -> Mlp:
    constants, out = layout.constants, layout.of(expr)
    if isinstance(expr, SelectorWidth):
        return decode_width(layout.raw[id(expr)], out, vocabulary.max_len, constants)
    if isinstance(expr, AggregateSum):
        numbers = domains[id(expr.sop)].numbers
        return decode_sum(layout.raw[id(expr)], out, numbers, vocabulary.max_len, constants)
    if isinstance(expr, Full):
        return constant_unit(expr, out, constants)
    mapped = as_map(expr)
    if mapped is not None:
        inner, f = mapped
        return map_units(expr.name, f, layout.of(inner), domains[id(inner)], out, constants)
    assert isinstance(expr, SequenceMap)
    fst, snd = layout.of(expr.fst), layout.of(expr.snd)
    if isinstance(expr, LinearSequenceMap):
        return linear_units(expr, fst, snd, out)
    return pair_units(expr, fst, snd, domains, out, constants)
