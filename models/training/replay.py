"""The worst pairs of past steps, with their interchanges, which later steps run again.

Late in training nearly every pair is right, and what a certificate still finds wrong is rare: a
pair in a hundred under a set of edges that no other step draws. Such pairs are kept and drawn again
until they are right (after prioritised replay: Schaul et al., 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

WORSE = 0.75  # share of a step's new pairs that are not kept
CAPACITY = 256  # pairs that are kept of each length


@dataclass(frozen=True)
class Interchanges:
    """Pairs of one length, each with the edges that read the source."""

    base: Int[Tensor, "pair pos"]
    source: Int[Tensor, "pair pos"]
    inside: Float[Tensor, "pair inside"]
    outside: Float[Tensor, "pair low_edge"]
    loss: Float[Tensor, " pair"]  # when they were run last

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors, in the order of the fields."""
        return self.base, self.source, self.inside, self.outside, self.loss

    def of(self, rows: Int[Tensor, " row"]) -> Interchanges:
        """Some of the pairs."""
        return Interchanges(*(part[rows.to(part.device)] for part in self.parts))

    def beside(self, other: Interchanges) -> Interchanges:
        """These pairs, and then others."""
        parts = zip(self.parts, other.parts, strict=True)
        return Interchanges(*(torch.cat(pair) for pair in parts))


class Replay:
    """Keeps the pairs of the highest loss, length by length."""

    def __init__(self) -> None:
        self.kept: dict[int, Interchanges] = {}

    def draw(self, length: int, n: int, generator: torch.Generator) -> Interchanges | None:
        """Take at most so many pairs of a length out, at random; None where none is kept."""
        kept = self.kept.pop(length, None)
        if kept is None or n < 1:
            return None
        order = torch.randperm(len(kept.loss), generator=generator, device="cpu")
        if n < len(order):
            self.kept[length] = kept.of(order[n:])
        return kept.of(order[:n])

    def learn(self, length: int, seen: Interchanges, n_again: int) -> None:
        """Keep the pairs of a step that are worse than most of its new ones.

        The last `n_again` of those that were seen have been drawn from here.
        """
        usual = seen.loss[: len(seen.loss) - n_again].quantile(WORSE)
        (worse,) = torch.nonzero(seen.loss > usual, as_tuple=True)
        kept = seen.of(worse)
        if length in self.kept:
            kept = kept.beside(self.kept[length])
        if len(kept.loss):
            highest = kept.loss.argsort(descending=True, stable=True)
            self.kept[length] = kept.of(highest[:CAPACITY])

    def state(self) -> dict[int, tuple[Tensor, ...]]:
        """For a checkpoint."""
        return {length: kept.parts for length, kept in self.kept.items()}

    def load(self, state: dict[int, tuple[Tensor, ...]]) -> None:
        """Go on from a checkpoint's state."""
        self.kept = {length: Interchanges(*parts) for length, parts in state.items()}
