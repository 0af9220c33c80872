"""One model on a batch of pairs: what it answers when some edges read the other input.

Its clean and source runs are made once, for all sets of edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.compiler.compiled import Compiled
from knowncircuits.patching import SinglePatches
from knowncircuits.transformer import Transformer

EDGES = 64  # single edges at a time
N_INPUTS = 2  # embed and pos, the first sources of a graph
# What a model says after BOS: tokens or numbers; None is the token NONE.
Answers = Float[Tensor, "pair pos"] | Int[Tensor, "pair pos"]
AnswersOfSets = Float[Tensor, "set pair pos"] | Int[Tensor, "set pair pos"]
NONE = -1


def low_answers(compiled: Compiled, logits: Tensor) -> Answers:
    """Those of a model that has one everywhere, if only "none"."""
    after = logits[:, 1:]
    if compiled.output.numerical:
        return after[..., 0].cpu()
    answers = after.argmax(-1).cpu()
    return answers.where(answers < compiled.model.config.d_vocab_out, NONE)


def high_answers(compiled: Compiled, logits: Tensor) -> Answers:
    """The compiled model's."""
    answers = low_answers(compiled, logits)
    if compiled.output.numerical:
        return answers
    return answers.where(compiled.defined(logits)[:, 1:].cpu(), NONE)


def equal(a: Tensor, b: Tensor, atol: float) -> Bool[Tensor, "*shape"]:
    """Whether answers are equal: tokens, or numbers within a tolerance."""
    return (a - b).abs() <= atol if a.is_floating_point() else a == b


class Side:
    """One of the two models on a batch of pairs; its clean and source runs are made once."""

    def __init__(
        self,
        model: Transformer,
        base: Tensor,
        source: Tensor,
        alternative: Tensor | None,
        read: Callable[[Tensor], Answers],
    ) -> None:
        """Without an alternative, the outputs on the source."""
        self.model, self.read, self.source = model, read, source
        self.base = base.to(model.device)
        if alternative is None:
            alternative = model.run(source.to(model.device)).outputs
        self.alternative = alternative
        clean = model.run(self.base)
        self.clean = read(clean.logits)
        self.patches = SinglePatches(model, clean, alternative)
        # An edge whose source writes the same in both runs changes nothing.
        self.moved: np.ndarray = self.patches.moved.cpu().numpy()[:, model.graph.source_of_edge]

    def of_pairs(self, pairs: Int[np.ndarray, " some"]) -> Side:
        """The same model on some of the batch's pairs, each of which has its own source."""
        places = torch.from_numpy(pairs).to(self.base.device)
        return Side(self.model, self.base[places], self.source[places], None, self.read)

    def edges(self, edges: Int[np.ndarray, " edge"]) -> AnswersOfSets:
        """The answers on base when each edge on its own reads the alternative; -1 is no edge."""
        places, pairs = np.nonzero(self.moved[:, edges].T & (edges >= 0)[:, None])
        return self._rows(self.patches.edges, len(edges), edges[places], places, pairs)

    def edges_of_pairs(self, edges: np.ndarray, pairs: np.ndarray) -> Answers:
        """A row for each of these edges and pairs: the answers when that edge alone reads it."""
        answers = self.clean[torch.from_numpy(pairs)]
        which, where = (torch.from_numpy(x).to(self.model.device) for x in (edges, pairs))
        for some, logits in self.patches.edges(which, where):
            answers[some.cpu()] = self.read(logits)
        return answers

    def edge_set(self, edges: Bool[np.ndarray, "#pair edge"]) -> Answers:
        """The answers on base when these edges read the alternative."""
        node = self._node(edges)
        if node is not None:
            (pairs,) = np.nonzero(self.moved[:, edges[0]].any(1))
            return self._rows(self.patches.nodes, 1, np.full_like(pairs, node), 0, pairs)[0]
        if edges.sum(1).max() <= 1:
            pairs, which = np.nonzero(edges & self.moved)
            return self._rows(self.patches.edges, 1, which, 0, pairs)[0]
        # What reads nothing writes the same whatever is patched. Others may not, and then an edge
        # that reads what they wrote on both inputs makes a difference.
        fixed = self.model.graph.source_of_edge < N_INPUTS
        edges = edges & (self.moved.any(0) | ~fixed)
        if not edges.any():
            return self.clean
        mask = torch.from_numpy(edges).to(self.model.device, self.model.dtype)
        return self.read(self.model.run(self.base, self.alternative, mask).logits)

    def _node(self, edges: Bool[np.ndarray, "#pair edge"]) -> int | None:
        """The source of which these are all the edges, in every pair."""
        sources = np.unique(self.model.graph.source_of_edge[edges[0]])
        if len(edges) > 1 or len(sources) != 1:
            return None
        every = self.model.graph.source_of_edge == sources[0]
        return int(sources[0]) if edges[0].sum() == every.sum() else None

    def _rows(
        self,
        patched: Callable[[Tensor, Tensor], Iterator[tuple[Tensor, Tensor]]],
        n_sets: int,
        which: np.ndarray,
        sets: np.ndarray | int,
        pairs: np.ndarray,
    ) -> AnswersOfSets:
        """The clean answers, but for the rows of single patches that these arrays describe."""
        answers = self.clean.repeat(n_sets, 1, 1)
        places = torch.from_numpy(sets * len(self.base) + pairs)
        device = self.model.device
        rows = (torch.from_numpy(x).to(device) for x in (which, pairs))
        for some, logits in patched(*rows):
            answers.flatten(0, 1)[places[some.cpu()]] = self.read(logits)
        return answers
