"""A model measured on one stratum of inputs: inside edges followed, the rest without effect.

Every edge of the rest could be run alone on every pair. Most change nothing, so it is run alone
only on pairs on which a set that holds it changes the model's answers: all of the rest at once, the
rest of one source, or a random part. Of a number a move by half the tolerance will do: two edges of
a set can all but cancel what each does alone. The sampler's pairs, on which each is run alone, are
beside this.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool

from knowncircuits.models.certificates.agreement import (
    BATCH,
    Agreement,
    counts_of,
    images,
)
from knowncircuits.models.certificates.change import MOVE, change_of
from knowncircuits.models.certificates.measured import Measured
from knowncircuits.models.certificates.pairs import CertificatePairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sets import (
    INSIDE_AND_BYSTANDERS,
    ONE_OF_REST,
    RANDOM_INSIDE,
    RANDOM_REST,
    REST,
    StratumSets,
    in_company,
    rest_of,
)
from knowncircuits.models.certificates.sides import (
    NONE,
    Answers,
    AnswersOfSets,
    Side,
    equal,
    high_answers,
    low_answers,
)
from knowncircuits.models.certificates.stratum_counts import (
    ChangedPair,
    StratumCounts,
    add_count,
)

# The pairs of a set that changes too many answers that are looked at, to see which edges do it.
BLAMED = 16


def measure_stratum(
    placed: Placed,
    pairs: CertificatePairs,
    rng: np.random.Generator,
    *,
    n_company: int,
    by_answer: bool,
    by_source: bool = True,
    atol: float,
    n_blamed: int = BLAMED,
    batch_size: int = BATCH,
    progress: Callable[[int], None] = lambda n: None,
) -> Measured:
    """Measure a model on the pairs of a stratum.

    Args:
        placed: the models, and which low-level edge stands for which compiled one.
        pairs: the stratum's.
        rng: of the random sets.
        n_company: sets of one inside edge and bystanders, and the rest of each source, are run on
            the first so many pairs.
        by_answer: whether to count accuracy for each answer of the compiled model.
        by_source: whether to patch the rest of each source, too.
        atol: how far numbers may differ and be equal.
        n_blamed: of each set that changes too many answers, the pairs in which edges are blamed.
        batch_size: pairs at a time.
        progress: told of the pairs that are done, batch by batch.
    """
    sets = StratumSets.draw(placed.circuit, len(pairs.base), rng)
    counter = Counter(placed, pairs, sets, n_company, atol, by_answer, by_source, n_blamed)
    counted = []
    for start in range(0, len(pairs.base), batch_size):
        batch = slice(start, start + batch_size)
        counted.append(counter.count(batch).document())
        progress(len(pairs.base[batch]))
    return StratumCounts.merge(counted, n_blamed).measured(placed, pairs, n_company, atol)


class Counter:
    """Counts on a stratum's pairs, batch by batch."""

    def __init__(
        self,
        placed: Placed,
        pairs: CertificatePairs,
        sets: StratumSets,
        n_company: int,
        atol: float,
        by_answer: bool,
        by_source: bool = True,
        n_blamed: int = BLAMED,
    ) -> None:
        """See `measure_stratum`; the sets are those of all pairs."""
        self.placed, self.pairs, self.drawn, self.atol = placed, pairs, sets, atol
        self.n_company, self.by_answer, self.n_blamed = n_company, by_answer, n_blamed
        self.inside = placed.correspondence.inside
        self.names = placed.model.graph.edges
        (self.members,) = np.nonzero(self.inside)
        (self.others,) = np.nonzero(~self.inside)
        self.rest_of = rest_of(placed.circuit) if by_source else {}
        self.found = StratumCounts()  # of the batch that is counted

    @torch.no_grad()
    def count(self, batch: slice) -> StratumCounts:
        """Count a batch, and sets of one inside edge and bystanders on its first pairs."""
        self.found = StratumCounts(edges={self.names[i]: Agreement() for i in self.members})
        model, compiled, drawn = self.placed.model, self.placed.compiled, self.drawn
        both = self.pairs.base[batch], self.pairs.source[batch]
        low = Side(model, *both, None, partial(low_answers, compiled))
        high = Side(compiled.model, *both, None, partial(high_answers, compiled))
        self.found.accuracy += self._agreement(low, high, low.clean, high.clean)
        if self.by_answer:
            self._count_answers(low, high)
        alone = low.edges(self.members), high.edges(self.placed.correspondence.image[self.members])
        for place, *answers in zip(self.members, *alone, strict=True):
            self.found.edges[self.names[place]] += self._agreement(low, high, *answers)
        if len(self.members):
            self._count_inside(low, high, drawn.inside[batch], drawn.beside[batch])
        if len(self.others):
            suspect = np.zeros((len(low.base), len(self.inside)), dtype=bool)
            n_company = min(self.n_company - batch.start, len(low.base))
            if n_company > 0:
                some = low.of_pairs(np.arange(n_company))
                suspect[: len(some.base)] = self._count_sources(some)
                self._count_company(some, alone[0], drawn.beside[batch][: len(some.base)])
            self._count_rest(low, drawn.rest[batch], drawn.one[batch], suspect)
        return self.found

    def _agreement(self, low: Side, high: Side, a: Answers, b: Answers) -> Agreement:
        """The agreement of what both models answer under a set of edges."""
        (found,) = counts_of(
            a[None], b[None], low.clean, high.clean, self.atol, self.placed.says_none
        )
        return found

    def _count_answers(self, low: Side, high: Side) -> None:
        """Accuracy where the compiled model gives each answer; numbers to the tolerance."""
        output, truth = self.placed.compiled.output, high.clean
        codes = (truth / self.atol).round().long() if output.numerical else truth
        right = equal(low.clean, truth, self.atol)
        for code in np.unique(codes.numpy()).tolist():
            if code == NONE and not output.numerical and not self.placed.says_none:
                continue
            if output.numerical:
                name = f"{code * self.atol:g}"
            else:
                name = repr(None if code == NONE else output.values[code])
            here = codes == code
            with_it = here.any(-1)
            found = Agreement(
                positions=int(here.sum()),
                agreeing=int((here & right).sum()),
                pairs=int(with_it.sum()),
                agreeing_pairs=int((with_it & (right | ~here).all(-1)).sum()),
            )
            add_count(self.found.answers, name, found)

    def _count_sources(self, some: Side) -> Bool[np.ndarray, "pair edge"]:
        """The rest of each source; which edges to suspect of what moves."""
        suspect = np.zeros((len(some.base), len(self.inside)), dtype=bool)
        for name, rows in self.rest_of.items():
            moved = self._change(name, some, some.edge_set(rows), some.clean, rows)
            suspect |= moved[:, None] & rows
        return suspect

    def _count_rest(
        self,
        low: Side,
        drawn: np.ndarray,
        one: np.ndarray,
        suspect: Bool[np.ndarray, "pair edge"],
    ) -> None:
        """Edges that are not inside, together, and those to suspect on their own."""
        rest = ~self.inside[None]
        for name, rows in ((REST, rest), (RANDOM_REST, drawn), (ONE_OF_REST, one)):
            moved = self._change(name, low, low.edge_set(rows), low.clean, rows)
            suspect = suspect | (moved[:, None] & rows)
        edges, pairs = np.nonzero((suspect & low.moved).T)
        answers = low.edges_of_pairs(edges, pairs)
        for place in np.unique(edges):
            rows = edges == place
            name = self.names[place]
            found = change_of(answers[rows], low.clean[pairs[rows]], self.atol)
            add_count(self.found.alone, name, found)

    def _count_inside(self, low: Side, high: Side, drawn: np.ndarray, beside: np.ndarray) -> None:
        """Random inside edges, alone and with bystanders."""
        alone = low.edge_set(drawn)
        compiled = high.edge_set(images(drawn, self.placed.correspondence))
        add_count(self.found.sets, RANDOM_INSIDE, self._agreement(low, high, alone, compiled))
        if len(self.others):
            rows = drawn | beside
            answers = low.edge_set(rows)
            agreement = self._agreement(low, high, answers, compiled)
            add_count(self.found.sets, INSIDE_AND_BYSTANDERS, agreement)
            self._change(INSIDE_AND_BYSTANDERS, low, answers, alone, rows)

    def _count_company(self, some: Side, alone: AnswersOfSets, beside: np.ndarray) -> None:
        """Each inside edge with bystanders, against that edge alone."""
        for place, answers in zip(self.members, alone, strict=True):
            rows = beside.copy()
            rows[:, place] = True
            name = in_company(self.names[place])
            self._change(name, some, some.edge_set(rows), answers[: len(some.base)], rows)

    def _change(
        self, name: str, low: Side, answers: Answers, without: Answers, rows: np.ndarray
    ) -> Bool[np.ndarray, " pair"]:
        """Count a set's change of the model's own answers; in which pairs something moves."""
        add_count(self.found.own, name, change_of(answers, without, self.atol))
        changed: np.ndarray = (~equal(answers, without, MOVE * self.atol)).any(-1).numpy()
        (pairs,) = np.nonzero(changed)
        every = np.broadcast_to(rows, (len(low.base), rows.shape[1]))
        for pair in pairs[: self.n_blamed]:
            self.found.keep(
                name, self.n_blamed, ChangedPair.of(low.base[pair], low.source[pair], every[pair])
            )
        return changed
