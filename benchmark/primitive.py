"""The primitive's parts that do not depend on a model: what it takes, what it gives, what it mixes.

The input of a destination d is the sum of what the sources before it wrote, each replaced by an
alternative as far as the mask says: `sum_s out_s + sum_s mask[s->d] * (alternative_s - out_s)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.errors import ShapeError
from knowncircuits.graph import Graph
from knowncircuits.inference import ordinary_tensors

RECOMPUTED = 2**22  # numbers that a group of destinations reads, one by one and of its sources


class Run:
    """What a forward pass gives; unpacks to `logits, outputs`."""

    def __init__(
        self, logits: Float[Tensor, "batch seq d_vocab_out"], written: Sequence[Tensor]
    ) -> None:
        """`written`: each source's output [batch, seq, d_model], in the graph's order."""
        self.logits = logits
        self._written = written

    @cached_property
    def outputs(self) -> Float[Tensor, "batch source seq d_model"]:
        """What each node wrote. Put together when asked for: many callers only want logits."""
        with ordinary_tensors():  # it is kept, in place of its parts
            together = torch.stack(list(self._written), 1)
        self._written = ()
        return together

    def __iter__(self) -> Iterator[Tensor]:
        yield self.logits
        yield self.outputs


@runtime_checkable
class Patchable(Protocol):
    """Any model that offers the primitive: ours, or TransformerLens's through an adapter."""

    @property
    def graph(self) -> Graph:
        """The edges that can be patched."""

    def run(
        self,
        tokens: Int[Tensor, "batch seq"],
        alternative: Float[Tensor, "#batch source seq d_model"] | None = None,
        mask: Float[Tensor, "#batch edge"] | Float[Tensor, "#batch edge seq"] | None = None,
        rules: BackwardRules = PLAIN,
    ) -> Run:
        """See `Transformer.run`."""


@runtime_checkable
class ShowsUnits(Protocol):
    """A model that shows the hidden units of its MLPs: what is between their two matrices."""

    def hidden_units(
        self, tokens: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch layer seq unit"]:
        """Each unit's value in an unpatched run, activated, and gated where it is."""

    @property
    def unit_weights(self) -> Float[Tensor, "layer unit d_model"]:
        """What each unit writes for a value of 1."""


def check_run(
    graph: Graph,
    n_ctx: int,
    d_model: int,
    tokens: Tensor,
    alternative: Tensor | None,
    mask: Tensor | None,
) -> None:
    """Raise ShapeError, with expected and got, for arguments that do not fit the primitive."""
    if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= n_ctx or not tokens.shape[0]:
        raise ShapeError(
            f"expected tokens of shape [batch, 1 to {n_ctx}], got {list(tokens.shape)}"
        )
    if (mask is None) != (alternative is None):
        raise ShapeError("expected a mask and an alternative together, got only one of them")
    if mask is None or alternative is None:
        return
    batch, seq = tokens.shape
    wanted = [len(graph.sources), seq, d_model]
    if list(alternative.shape) not in ([batch, *wanted], [1, *wanted]):
        raise ShapeError(
            f"expected alternative of shape {[batch, *wanted]}, got {list(alternative.shape)}"
        )
    edges = ([graph.n_edges], [graph.n_edges, seq])
    if list(mask.shape) not in [[n, *shape] for n in (batch, 1) for shape in edges]:
        raise ShapeError(
            f"expected mask of shape {[batch, graph.n_edges]} (and seq), got {list(mask.shape)}"
        )


class Patch:
    """What the mask lets through of the difference between each source's alternative and output."""

    def __init__(
        self,
        alternative: Tensor | None,
        mask: Tensor | None,
        written: list[Tensor],
        *,
        dense: bool = False,
    ) -> None:
        """`written` grows as the run goes on. With `dense`, masks are not searched for zeros."""
        # Taken apart at once: gradients of slices taken one by one each fill the whole tensor.
        self.alternative = None if alternative is None else alternative.unbind(1)
        self.mask = mask
        self.written = written
        self.dense = dense
        self.differences: dict[int, Tensor] = {}
        # Without gradients they share one tensor, of which dense masks take a slice without a copy.
        self.shared: Tensor | None = None
        if alternative is not None and not torch.is_grad_enabled():
            self.shared = alternative.new_empty(len(written[0]), *alternative.shape[1:])

    def through(
        self, start: int, stop: int, n_sources: int, read: Callable[[Tensor | None], Tensor]
    ) -> Tensor:
        """What destinations make of the delta of edges start to stop; see `delta`.

        Where masks are trained and it takes much memory, it is not kept for the way back, where it
        is computed once more. Then at most one group of destinations is in memory at a time.
        """
        delta = partial(self.delta, start, stop, n_sources)
        if self.mask is None or not (self.mask.requires_grad and torch.is_grad_enabled()):
            return read(delta())
        if self.written[0].numel() * (n_sources + (stop - start) // n_sources) < RECOMPUTED:
            return read(delta())
        self._subtract(range(n_sources))  # these are kept: later destinations read them, too
        together: Tensor = checkpoint(
            lambda: read(delta()), use_reentrant=False, preserve_rng_state=False
        )
        return together

    def _subtract(self, sources: Iterable[int]) -> None:
        """Fill in `differences`."""
        assert self.alternative is not None
        for i in sources:
            if i not in self.differences:
                out = None if self.shared is None else self.shared[:, i]
                self.differences[i] = torch.sub(self.alternative[i], self.written[i], out=out)

    def delta(self, start: int, stop: int, n_sources: int) -> Tensor | None:
        """What edges start to stop add to their destinations: [batch, destination, seq, d_model].

        None where the mask is zero throughout, which masks of few edges are in most layers; sources
        of which it takes nothing are left out. A dense one is taken as it is.
        """
        if self.mask is None or self.alternative is None:
            return None
        mask = self.mask[:, start:stop]
        mask = mask.reshape(len(mask), -1, n_sources, *mask.shape[2:])
        sources = list(range(n_sources))
        if not (mask.requires_grad or self.dense):
            used = mask.movedim(2, 0).flatten(1).any(1)
            sources = used.nonzero().flatten().tolist()
            if not sources:
                return None
            mask = mask[:, :, sources]
        self._subtract(sources)
        if self.shared is not None and len(sources) == n_sources:
            differences = self.shared[:, :n_sources]
        else:
            differences = torch.stack([self.differences[i] for i in sources], 1)
        mask = mask.to(differences.dtype)
        if mask.ndim == 3:
            return torch.einsum("bds,bspm->bdpm", mask, differences)
        return torch.einsum("bdsp,bspm->bdpm", mask, differences)
