"""Pass 3: every step as an attention head, as a part of an MLP, or as both."""

from __future__ import annotations

from dataclasses import dataclass, field

from knowncircuits.compiler.heads import Head, build_head
from knowncircuits.compiler.layout import Layout
from knowncircuits.compiler.mlps import Mlp, StepFunction, build_mlp
from knowncircuits.compiler.variables import Component, Read, Variable
from knowncircuits.errors import CompileError
from knowncircuits.names import Destination, Node
from knowncircuits.rasp.program import Program, Step


@dataclass
class Components:
    """What every node is made of."""

    heads: dict[Node, Head] = field(default_factory=dict)
    mlps: dict[Node, list[Mlp]] = field(default_factory=dict)
    reads: dict[Node, dict[Destination, list[Read]]] = field(default_factory=dict)
    writes: dict[Node, list[Variable]] = field(default_factory=dict)
    step_functions: dict[Step, StepFunction] = field(default_factory=dict)

    def add_head(self, head: Head, out: Variable) -> None:
        """A head, at the node that its output variable has been given."""
        self.heads[out.node] = head
        self._record(out, {Destination.of(out.node, x): reads for x, reads in head.reads.items()})

    def add_mlp(self, mlp: Mlp, out: Variable) -> None:
        """More hidden units for the MLP that its output variable has been given."""
        self.mlps.setdefault(out.node, []).append(mlp)
        self._record(out, {Destination(out.node): mlp.reads})

    def _record(self, out: Variable, reads: dict[Destination, list[Read]]) -> None:
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


def build(program: Program, layout: Layout) -> Components:
    """Build every step's head and MLP part; raises CompileError with all reasons why not."""
    components = Components()
    reasons: list[str] = []
    for step in program.steps:
        if step.is_head:
            components.add_head(build_head(step, layout), layout.raw.get(step, layout.of(step)))
        if step.needs_mlp:
            try:
                mlp = build_mlp(step, layout)
            except CompileError as error:
                reasons += [f"{step.name}: {reason}" for reason in error.reasons]
            else:
                components.add_mlp(mlp, layout.of(step))
                if mlp.step_function is not None:
                    components.step_functions[step] = mlp.step_function
    if reasons:
        raise CompileError(reasons)
    return components
