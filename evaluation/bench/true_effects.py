"""What edges change in a model, measured apart from certificates: by the hooked twin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.cases.pools import ATOL
from knowncircuits.models.certificates.pairs import CertificatePairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.interop.hooked import to_hooked

# The least and the greatest share of positions that a leak is to change; a little more strength may
# change many positions at once, and then more than MOST.
LEAST, MOST = 0.001, 0.003
SEARCHES = 24  # strengths tried
CLOSE = 1.02  # nor does it go on between strengths of this ratio

Answers = Float[Tensor, "pair pos"] | Int[Tensor, "pair pos"]
Changed = Bool[Tensor, "pair pos"]


class TrueEffects:
    """What edges of a model change on pairs of inputs, by its hooked twin, one mask for all pairs.

    By the model itself where a search for a strength asks for many.
    """

    def __init__(self, placed: Placed, pairs: CertificatePairs, *, hooked: bool = True) -> None:
        self.placed, self.pairs = placed, pairs
        self.engine = to_hooked(placed.model) if hooked else placed.model
        with torch.no_grad():
            self.source = self.engine.run(pairs.source).outputs
        self.known: dict[frozenset[str], Answers] = {}

    def answers(self, edges: Collection[str]) -> Answers:
        """The model's, where these edges read the other input."""
        patched = frozenset(edges)
        if patched not in self.known:
            mask = torch.zeros(1, self.engine.graph.n_edges, dtype=self.source.dtype)
            mask[0, [self.engine.graph.index(edge) for edge in patched]] = 1
            with torch.no_grad():
                logits = self.engine.run(self.pairs.base, self.source, mask).logits[:, 1:]
            numerical = self.placed.compiled.output.numerical
            self.known[patched] = logits[..., 0] if numerical else logits.argmax(-1)
        return self.known[patched]

    def changed(self, edges: Collection[str], beside: Collection[str] = ()) -> Changed:
        """Where these edges change the answer, alone or beside others."""
        return self._other(self.answers({*edges, *beside}), self.answers(beside))

    def effect(self, edges: Collection[str], company: Iterable[Collection[str]] = ((),)) -> float:
        """The share of positions that edges change: beside the set where they change most."""
        return max(_share(self.changed(edges, beside)) for beside in company)

    def effect_where_said(self, edges: Collection[str]) -> float:
        """The share of positions where the program says something and edges change the answer."""
        compiled = self.placed.compiled
        with torch.no_grad():
            said = compiled.defined(compiled.model(self.pairs.base))[:, 1:]
        return _share(self.changed(edges) & said)

    def wrong(self, edges: Collection[str]) -> float:
        """The share of positions at which edges give another answer than the compiled model's."""
        compiled = self.placed.compiled
        answers = self.answers(edges)
        with torch.no_grad():
            logits = compiled.model(self.pairs.base)
        if compiled.output.numerical:
            return _share(self._other(answers, logits[:, 1:, 0]))
        other = self._other(answers, logits[:, 1:].argmax(-1))
        return _share(other & compiled.defined(logits)[:, 1:])

    def _other(self, a: Answers, b: Answers) -> Changed:
        return (a - b).abs() > ATOL if a.is_floating_point() else a != b


def _share(changed: Changed) -> float:
    return float(changed.double().mean())


def tune(effect_of: Callable[[float], float]) -> float:
    """The weakest strength that bisection finds to have an effect of LEAST; 0 where none has."""
    strength, low, high = 0.1, 0.0, float("inf")
    for _ in range(SEARCHES):
        effect = effect_of(strength)
        low, high = (low, strength) if effect >= LEAST else (strength, high)
        if LEAST <= effect <= MOST or high < CLOSE * low:
            break
        strength = 2 * low if high == float("inf") else (low + high) / 2
    return high if high < float("inf") else 0.0
