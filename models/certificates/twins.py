"""Both models' answers under sets of edges, by hooks and in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.models.certificates.agreement import BATCH, Agreement
from knowncircuits.models.certificates.change import MOVE, Change
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.interop.hooked import HookedTwin, to_hooked
from knowncircuits.names import Edge

# The answers to every input: a token or number at each position, None where there is none.
Answers = list[list[Any]]
Rows = Sequence[set[str]]  # the edges that read the other input: one set for all pairs, or one each


class Twins:
    """The hooked twins of two models on pairs of inputs."""

    def __init__(
        self,
        placed: Placed,
        base: Int[Tensor, "pair pos"],
        source: Int[Tensor, "pair pos"],
        atol: float,
    ) -> None:
        self.placed, self.base, self.source, self.atol = placed, base, source, atol
        self.low, self.high = to_hooked(placed.model), to_hooked(placed.compiled.model)
        self.low_clean, self.high_clean = self.low_answers([set()]), self.high_answers([set()])

    def rows(self, edges: Sequence[str]) -> Rows:
        """One set for all pairs."""
        return [set(edges)]

    def low_answers(self, rows: Rows) -> Answers:
        """The low-level model's: it has one everywhere, if only "none"."""
        logits, compiled = self._logits(self.low, rows), self.placed.compiled
        if compiled.output.numerical:
            return compiled.decode(logits)
        values = [*compiled.output.values, None]
        return [[values[i] for i in row] for row in logits[:, 1:].argmax(-1).tolist()]

    def high_answers(self, rows: Rows) -> Answers:
        """The compiled model's, under the edges that the low-level ones stand for."""
        images: Rows = [{i for edge in row if (i := self._image(Edge(edge)))} for row in rows]
        return self.placed.compiled.decode(self._logits(self.high, images))

    def agreement(self, rows: Rows) -> Agreement:
        """The counts of a set of edges."""
        answers = self.low_answers(rows), self.high_answers(rows), self.low_clean, self.high_clean
        every = self.placed.says_none
        return sum(
            (_agreement(*row, self.atol, every) for row in zip(*answers, strict=True)), Agreement()
        )

    def changes(self, rows: Rows) -> list[Change]:
        """How a set's edges that are not inside change the low-level model's answers to a pair."""
        inside = set(self.placed.circuit.edges())
        both = self.low_answers(rows), self.low_answers([row & inside for row in rows])
        return [_change(*row, self.atol) for row in zip(*both, strict=True)]

    def _image(self, edge: Edge) -> Edge | None:
        """The compiled edge that a low-level edge stands for, by their names."""
        correspondence = self.placed.correspondence
        high_of = {low: high for high, low in correspondence.nodes.items()}
        if not high_of.keys() >= set(edge.ends):
            return None
        image = edge.placed(high_of)
        return image if image in correspondence.high.carries else None

    def _logits(self, twin: HookedTwin, rows: Rows) -> Float[Tensor, "pair pos d_vocab_out"]:
        """The outputs on base, with edges reading the run on source."""
        mask = torch.zeros(len(rows), twin.graph.n_edges, dtype=twin.W_E.dtype, device="cpu")
        for row, edges in zip(mask, rows, strict=True):
            row[[twin.graph.index(edge) for edge in edges]] = 1
        mask = mask.expand(len(self.base), -1).to(twin.W_E.device)
        found = []
        with torch.no_grad():
            parts = (torch.split(x.to(mask.device), BATCH) for x in (self.base, self.source))
            for base, source, some in zip(*parts, torch.split(mask, BATCH), strict=True):
                if some.any():
                    found.append(twin.run(base, twin.run(source).outputs, some).logits)
                else:
                    found.append(twin.run(base).logits)
        return torch.cat(found)


def _equal(a: Any, b: Any, atol: float) -> bool:
    return abs(a - b) <= atol if isinstance(a, float) and isinstance(b, float) else a == b


def _agreement(
    low: list[Any],
    high: list[Any],
    low_clean: list[Any],
    high_clean: list[Any],
    atol: float,
    everywhere: bool,
) -> Agreement:
    """The counts of one pair."""
    at = [i for i, answer in enumerate(high) if everywhere or answer is not None]
    agrees = [_equal(low[i], high[i], atol) for i in at]
    changed = [not _equal(high[i], high_clean[i], atol) for i in at]
    return Agreement(
        positions=len(at),
        agreeing=sum(agrees),
        pairs=int(bool(at)),
        agreeing_pairs=int(bool(at) and all(agrees)),
        low_changed=sum(not _equal(low[i], low_clean[i], atol) for i in at),
        high_changed=sum(changed),
        followed=sum(a and c for a, c in zip(agrees, changed, strict=True)),
    )


def _change(answers: list[Any], without: list[Any], atol: float) -> Change:
    """The counts of one pair."""
    both = list(zip(answers, without, strict=True))
    changed, moved = (sum(not _equal(a, b, tol) for a, b in both) for tol in (atol, MOVE * atol))
    return Change(len(both), changed, moved, 1, int(changed > 0))
