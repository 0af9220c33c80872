"""Strata of a case's inputs: families of pairs, each of which a model has to know.

A sampler all but never draws some inputs that the program is defined on: those of rare answers, of
few different tokens, shorter ones; and where pairs have a direction, those of either direction.
Models are trained on all strata, and certified on each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Int

from knowncircuits.cases.case import Case
from knowncircuits.cases.directed import DIRECTIONS, directed_inputs
from knowncircuits.cases.pairs import draw_pairs
from knowncircuits.cases.pools import ATOL, FEWEST, broad_pool, choose_skewed, draw_skewed
from knowncircuits.cases.sampling import Codes, in_split
from knowncircuits.errors import InputError, UnknownNameError

SAMPLER, BALANCED, SKEWED, MINIMAL = KINDS = ("sampler", "balanced", "skewed", "minimal")
LENGTH = "length:"  # followed by a length
ALPHA = 0.3  # of skewed inputs' token weights
# How often inputs are drawn anew before giving up.
ROUNDS = 50
# A minimal pair is chosen among so many changes of the base: of one token; where none will do of
# two, or of three.
CHANGES, SIZES = 32, (1, 2, 3)


@dataclass(frozen=True, eq=False)
class StratumPairs:
    """Base and source inputs, different ones of one length in each pair."""

    base: Int[np.ndarray, "pair length"]  # indices into the alphabet
    source: Int[np.ndarray, "pair length"]
    n_beyond: int  # pairs of which one input or both are not in the split

    def __len__(self) -> int:
        return len(self.base)


def strata_of(case: Case) -> tuple[str, ...]:
    """The strata of a case: one of each kind at its greatest length, and one for each other length.

    If a case names a property, its directions are kinds, too, and so are a case's own ways to
    corrupt inputs: the pairs that a model will be asked about are among those it is certified on.

    Where a case's inputs are listed, as a grammar's are, all are among them: a skewed one is, of
    many, the one that token weights make the likeliest.

    sampler: as the case draws inputs. balanced: each answer that can occur is as frequent. skewed:
    few different tokens. minimal: base and source differ in one token. on-off: base has the
    property and source lacks it; off-on: the reverse. length:4, say: a quarter of each of the first
    four kinds, of 4 tokens.
    """
    directions = DIRECTIONS if case.contrast else ()
    lengths = (f"{LENGTH}{n}" for n in case.lengths[:-1])
    return (*KINDS, *directions, *case.corruptions, *lengths)


def is_of_length(stratum: str) -> bool:
    """Whether a stratum is one of inputs shorter than the greatest length."""
    return stratum.startswith(LENGTH)


def length_of(case: Case, stratum: str, length: int | None = None) -> int:
    """The length of a stratum's inputs: its own, else the one asked for, or the case's greatest.

    Raises:
        UnknownNameError: for another stratum.
        InputError: for another length than the stratum's own.
    """
    if stratum not in strata_of(case):
        raise UnknownNameError("stratum", stratum, strata_of(case))
    if not is_of_length(stratum):
        return case.lengths[-1] if length is None else length
    own = int(stratum.removeprefix(LENGTH))
    if length not in (None, own):
        raise InputError(f"expected no other length for stratum {stratum}, got {length}")
    return own


def draw_stratum(
    case: Case,
    stratum: str,
    n: int,
    seed: int,
    *,
    length: int | None = None,
    split: str | None = None,
    atol: float = ATOL,
) -> StratumPairs:
    """Pairs of a stratum; see `strata_of`.

    Inputs are of a split as far as it suffices. Where it has fewer than FEWEST inputs of a length,
    or of an answer, all of these are drawn from; the pairs say how many of them are concerned. Of a
    case that is meant for some inputs, no others are drawn.

    Args:
        case: the case.
        stratum: one of `strata_of(case)`.
        n: how many pairs.
        seed: equal seeds give equal pairs.
        length: of the strata that are named by no length; by default the greatest of the case's.
        split: `train` or `test`; see `Case.draw`.
        atol: numbers as near as this are one answer.

    Raises:
        UnknownNameError: for another stratum or split.
        InputError: for no pair, a wrong length, or where no different inputs are found.
    """
    own = length_of(case, stratum, length)
    if n < 1:
        raise InputError(f"expected at least one pair, got {n}")
    kinds = KINDS if is_of_length(stratum) else [stratum]
    drawing = _Drawing(case, own, seed, split, atol)
    pairs = [drawing.pairs(kind, share) for kind, share in _shares(n, kinds)]
    order = drawing.rng.permutation(n)
    base, source = (np.concatenate(side)[order] for side in zip(*pairs, strict=True))
    within = drawing.within(base) & drawing.within(source)
    return StratumPairs(base, source, int((~within).sum()))


def _shares(n: int, kinds: Sequence[str]) -> list[tuple[str, int]]:
    """How many of n pairs are of each kind, as evenly as can be."""
    counts = [len(range(i, n, len(kinds))) for i in range(len(kinds))]
    return [(kind, count) for kind, count in zip(kinds, counts, strict=True) if count]


class _Drawing:
    """Draws inputs of one length by one generator."""

    def __init__(self, case: Case, length: int, seed: int, split: str | None, atol: float) -> None:
        self.case, self.length, self.asked = case, length, split
        self.rng = np.random.default_rng([seed, length])
        pool = broad_pool(case, length, seed, atol)
        member = self.within(pool.codes)
        self.split = split if member.sum() >= FEWEST else None
        self.pool = pool.within(member)

    def within(self, codes: Codes) -> Bool[np.ndarray, " n"]:
        """Which inputs are of the split that was asked for."""
        return in_split(codes, len(self.case.vocab), self.asked)

    def pairs(self, kind: str, n: int) -> tuple[Codes, Codes]:
        """Pairs of a kind."""
        if kind == MINIMAL:
            base = self._mixed(n)
            return base, self._changed(base)
        if direction := next((each for each in DIRECTIONS if each == kind), None):
            seed = int(self.rng.integers(2**32))
            return directed_inputs(
                self.case, n, seed, direction, length=self.length, split=self.split
            )
        if kind in self.case.corruptions:
            seed = int(self.rng.integers(2**32))
            pairs = draw_pairs(self.case, n, seed, kind, length=self.length, split=self.split)
            return pairs.clean, pairs.corrupted
        side = partial(self._side, kind)
        base = side(n)
        return base, self._different(base, side(n), side)

    def _side(self, kind: str, n: int) -> Codes:
        """Inputs of a kind, one by one."""
        if kind == SAMPLER:
            seed = int(self.rng.integers(2**32))
            return self.case.draw(n, seed, self.length, split=self.split)
        if kind == BALANCED:
            return self.pool.draw(self.rng, n)
        return self._skewed(n)

    def _mixed(self, n: int) -> Codes:
        """Equal shares of all kinds but minimal pairs."""
        return np.concatenate([self._side(*share) for share in _shares(n, KINDS[:-1])])

    def _skewed(self, n: int) -> Codes:
        """Where too few such inputs are meant, the rest are balanced ones."""
        listed = self.case.listed(self.length)
        if listed is not None:
            mine = listed[in_split(listed, len(self.case.vocab), self.split)]
            return choose_skewed(self.rng, mine, n, len(self.case.vocab), alpha=ALPHA)
        found = np.empty((0, self.length), dtype=np.int64)
        for _ in range(ROUNDS):
            n_tokens = len(self.case.vocab)
            drawn = draw_skewed(self.rng, 2 * n + 64, self.length, n_tokens, alpha=ALPHA)
            found = np.concatenate([found, drawn[self.case.allows(drawn, self.split)]])
            if len(found) >= n:
                return found[:n]
        return np.concatenate([found, self._side(BALANCED, n - len(found))])

    def _changed(self, base: Codes) -> Codes:
        """Each base input with one token replaced; two or three, or all, where that will not do."""
        source, left = base.copy(), np.arange(len(base))
        for size in SIZES[: self.length]:
            shape = (len(left), CHANGES)
            changed = np.repeat(base[left, None], CHANGES, axis=1)
            places = self.rng.random((*shape, self.length)).argsort(-1)[..., :size]
            shifts = self.rng.integers(1, max(2, len(self.case.vocab)), size=(*shape, size))
            old = np.take_along_axis(changed, places, axis=2)
            np.put_along_axis(changed, places, (old + shifts) % len(self.case.vocab), axis=2)
            every = changed.reshape(-1, self.length)
            allowed = self.case.allows(every, self.split).reshape(shape)
            done = allowed.any(1)
            source[left[done]] = changed[done, allowed[done].argmax(1)]
            left = left[~done]
        source[left] = self._different(base[left], source[left], self._mixed)
        return source

    def _different(self, base: Codes, source: Codes, draw: Callable[[int], Codes]) -> Codes:
        """The sources, those that equal their base drawn anew."""
        for _ in range(ROUNDS):
            (equal,) = np.nonzero((base == source).all(1))
            if not len(equal):
                return source
            source[equal] = draw(len(equal))
        example = [self.case.vocab[code] for code in base[equal[0]]]
        raise InputError(
            f"expected for each of {len(base)} inputs another one of {self.length} tokens, found "
            f"none for {len(equal)}, such as {example}"
        )
