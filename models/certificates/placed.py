"""A low-level model placed beside the compiled one that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from knowncircuits.checks.arguments import expect
from knowncircuits.circuit import Circuit
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.shown import Card, Shown
from knowncircuits.transformer import Transformer


@dataclass(frozen=True, eq=False, repr=False)
class Placed(Shown):
    """Two models, and which edges of the one stand for which edges of the other.

    Raises ModelError, with expected and got, for what does not belong together.
    """

    model: Transformer  # the low-level one
    compiled: Compiled  # the high-level one
    correspondence: Correspondence

    def __post_init__(self) -> None:
        expect(self.model, Transformer, "model")
        expect(self.compiled, Compiled, "compiled")
        expect(self.correspondence, Correspondence, "correspondence")
        low, high = self.model.config, self.compiled.model.config
        outputs = low.d_vocab_out - self.says_none
        links: list[tuple[str, object, object]] = [
            (
                "a correspondence into the model's graph",
                self.model.graph,
                self.correspondence.low,
            ),
            (
                "a correspondence from the compiled circuit",
                self.compiled.circuit,
                self.correspondence.high,
            ),
            ("a model of as many tokens as the compiled one", high.d_vocab, low.d_vocab),
            ("a model of as many outputs as the compiled one", high.d_vocab_out, outputs),
        ]
        for what, expected, got in links:
            if expected != got:
                raise ModelError(f"expected {what}, {_describe(expected)}, got {_describe(got)}")
        if low.n_ctx < high.n_ctx:
            raise ModelError(f"expected a context of at least {high.n_ctx}, got {low.n_ctx}")

    def _card(self) -> Card:
        facts = (self.model.graph.summary(), self.circuit.label_counts())
        return Card(self.compiled.name, facts, self.correspondence._tables)

    @property
    def circuit(self) -> Circuit:
        """The circuit that the low-level model is to have."""
        return self.correspondence.circuit

    @property
    def says_none(self) -> bool:
        """Whether the low-level model can answer "none"; see the function."""
        return says_none(self.compiled, self.model.config.d_vocab_out)


def says_none(compiled: Compiled, d_vocab_out: int) -> bool:
    """Whether a low-level model of so many outputs can answer "none".

    Its last output then stands for that, after those for the compiled model's values. Where the
    compiled model says None so must it, and all positions count.
    """
    return not compiled.output.numerical and d_vocab_out == compiled.model.config.d_vocab_out + 1


def _describe(value: Any) -> str:
    graph = getattr(value, "graph", value)
    return graph.summary() if hasattr(graph, "summary") else str(value)
