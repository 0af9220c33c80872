"""The kinds of leaks that are planted, and which of them a model and a stratum of inputs allow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Literal, TypeVar

import numpy as np
import torch

from knowncircuits.cases.strata import LENGTH
from knowncircuits.circuit import Label
from knowncircuits.evaluation.bench.planting import plant_answer, plant_copy, plant_edge
from knowncircuits.evaluation.bench.planting_conditions import Gate, plant_gated, plant_on_shorter
from knowncircuits.models.certificates.pairs import CertificatePairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sides import high_answers
from knowncircuits.names import LOGITS, POS, Edge, Node

SHARES = (0.02, 0.05, 0.2)  # of a head that its copy computes
SELDOM = 4  # times as many leaks of kinds that few models and strata allow
RARER = 3  # times as rare under the sampler as in a stratum is a rare answer
OPENS = 0.01  # of positions, at which a gate is of use
Some = TypeVar("Some")

# Where a leak shows nothing: with its edges patched and no others; on the sampler's pairs; in
# comparison with the compiled model's answers; where the program says something.
Unseen = Literal["", "alone", "sampler", "compiled", "said"]


@dataclass(frozen=True)
class Leak:
    """A leak that can be planted at any strength."""

    kind: str
    label: str  # of its edges
    name: str
    edges: Collection[str]  # one of which is to be named
    patched: Collection[str]  # to see its effect
    plant: Callable[[float], Placed]
    strengths: tuple[float, ...] = ()  # those to plant it at; none: such that its effect is small
    in_company: bool = False  # its effect is that beside some inside edge
    unseen: Unseen = ""


@dataclass(frozen=True, eq=False)
class Ground:
    """A model and a stratum's pairs, in which leaks are planted."""

    placed: Placed
    stratum: str
    pairs: CertificatePairs
    sampled: CertificatePairs  # the sampler's
    n_leaks: int  # of each kind and label
    rng: np.random.Generator

    def leaks(self) -> Iterator[Leak]:
        """A leak of every kind that can be planted here."""
        yield from self._along_edges()
        yield from self._of_numbers()
        yield from self._at_none()
        yield from self._at_rare_answers()
        yield from self._on_shorter_inputs()
        yield from self._behind_gates()
        yield from self._by_copies()

    def _along_edges(self) -> Iterator[Leak]:
        """Outside edges and undetermined ones, into parts that the answer reads."""
        read = {edge.target for edge in self.placed.circuit.edges()}
        for label in (Label.OUT, Label.UNDETERMINED):
            edges = [e for e in self._rest() if self._label(e) == label and e.target in read]
            for edge in self._some(edges):
                yield self._leak("edge", edge, partial(plant_edge, self.placed, edge))

    def _of_numbers(self) -> Iterator[Leak]:
        """Numbers that stay near the compiled model's, but not near the model's own."""
        if self.placed.compiled.output.numerical:
            for edge in self._some(self._into_logits()):
                plant = partial(plant_edge, self.placed, edge)
                yield self._leak("number", edge, plant, unseen="compiled")

    def _at_none(self) -> Iterator[Leak]:
        """Where the program says None, by the logit of "none"."""
        if self.placed.says_none:
            none = self.placed.model.config.d_vocab_out - 1
            for edge in self._some(self._into_logits(), SELDOM):
                plant = partial(plant_answer, self.placed, edge, none, self.pairs)
                yield self._leak("none", edge, plant, unseen="said")

    def _at_rare_answers(self) -> Iterator[Leak]:
        """Where an answer is given that the sampler all but never brings."""
        if (answer := self._rare_answer()) is not None:
            for edge in self._some(self._into_logits(), SELDOM):
                plant = partial(plant_answer, self.placed, edge, answer, self.pairs)
                yield self._leak("rare answer", edge, plant, unseen="sampler")

    def _on_shorter_inputs(self) -> Iterator[Leak]:
        """Where an input is not of the greatest length; only if the model looks ahead."""
        config = self.placed.model.config
        if config.causal or POS not in self.placed.model.graph.sources:
            return
        if self.stratum.startswith(LENGTH):
            head = Node.of_head(config.n_layers - 1, config.n_heads)
            sources = map(Node, self.placed.model.graph.sources)
            before = [n for n in sources if n.layer < head.layer and n != POS]
            for source in self._some(before, SELDOM):
                edges = f"{source}->{head}<q>", f"{head}->{LOGITS}"
                plant = partial(plant_on_shorter, self.placed, source, self.pairs)
                yield self._leak("shorter", Edge(edges[0]), plant, edges, unseen="sampler")

    def _behind_gates(self) -> Iterator[Leak]:
        """Beside an inside edge alone: past what inputs bring two nodes to write."""
        if self.placed.model.config.norm != "none" or self.placed.model.config.gated:
            return
        for mlp, gate in self._gates():
            for edge in self._some([e for e in self._rest() if e.target == mlp], SELDOM):
                plant = partial(plant_gated, self.placed, gate, edge, self.pairs)
                yield self._leak("gate", edge, plant, in_company=True, unseen="alone")

    def _by_copies(self) -> Iterator[Leak]:
        """Weak copies of inside heads by outside heads: they restore where the true one is not."""
        for head, copy in self._copies():
            edges = [e for e in self.placed.model.graph.edges if copy in Edge(e).ends]
            yield Leak(
                "copy",
                Label.OUT.name.lower(),
                f"{copy} of {head}",
                edges,
                edges,
                partial(plant_copy, self.placed, head, copy),
                strengths=SHARES,
                in_company=True,
            )

    def _leak(
        self,
        kind: str,
        edge: Edge,
        plant: Callable[..., Placed],
        edges: Collection[str] = (),
        *,
        in_company: bool = False,
        unseen: Unseen = "",
    ) -> Leak:
        """A leak whose strength is to be found; its effect is that of its first edge."""
        named = edges or (str(edge),)
        label = "out" if edges else self._label(edge).name.lower()
        seeded = partial(plant, seed=int(self.rng.integers(2**32)))
        name = " ".join(named)
        return Leak(
            kind, label, name, named, [str(edge)], seeded, in_company=in_company, unseen=unseen
        )

    def _label(self, edge: str) -> Label:
        return Label(self.placed.circuit.label(edge))

    def _rest(self) -> list[Edge]:
        """Edges that are not inside, of sources that vary."""
        edges = map(Edge, self.placed.model.graph.edges)
        return [e for e in edges if self._label(e) != Label.IN and e.source != POS]

    def _into_logits(self) -> list[Edge]:
        return [edge for edge in self._rest() if edge.target == LOGITS]

    def _some(self, among: list[Some], times: int = 1) -> list[Some]:
        return [among[i] for i in self.rng.permutation(len(among))[: times * self.n_leaks]]

    def _rare_answer(self) -> int | None:
        """The answer that is most often more frequent here than under the sampler."""
        compiled = self.placed.compiled
        if compiled.output.numerical:
            return None
        with torch.no_grad():
            here, there = (
                high_answers(compiled, compiled.model(pairs.base))
                for pairs in (self.pairs, self.sampled)
            )
        n = compiled.model.config.d_vocab_out
        counts = [torch.bincount(x[x >= 0], minlength=n) / x.numel() for x in (here, there)]
        ratio = counts[0] / counts[1].clamp(min=1 / there.numel())
        return int(ratio.argmax()) if float(ratio.max()) >= RARER else None

    def _gates(self) -> Iterator[tuple[Node, Gate]]:
        """For each MLP that reads several inside nodes the gate that patching opens most often."""
        inside = self.placed.circuit.edges()
        for mlp in {edge.target for edge in inside if edge.target.kind == "mlp"}:
            sources = [e.source for e in inside if e.target == mlp and e.source != POS]
            gates = [Gate.fit(self.placed, p, self.pairs) for p in permutations(sources, 2)]
            best = max(gates, key=lambda gate: gate.opens, default=None)
            if best and best.opens >= OPENS:
                yield mlp, best

    def _copies(self) -> Iterator[tuple[Node, Node]]:
        """Heads of the circuit, each with a head of its layer that is not in it."""
        used = set(self.placed.correspondence.nodes.values())
        for name in sorted(used):
            node = Node(name)
            if node.kind == "head":
                heads = range(self.placed.model.config.n_heads)
                others = (Node.of_head(node.layer, i) for i in heads)
                if free := next((other for other in others if other not in used), None):
                    yield node, free
