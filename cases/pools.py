"""A broad pool of a case's inputs with the program's answers: where rare answers are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from knowncircuits.cases.case import Case, uniform
from knowncircuits.cases.sampling import (
    Codes,
    enumerate_inputs,
    hash_inputs,
    most_inputs,
)
from knowncircuits.errors import InputError
from knowncircuits.rasp.program import flatten

ATOL = 0.05  # numbers as near as this are one answer
# Up to so many inputs of a length, the pool is all of them.
FEW = 2**14
# How many inputs of each kind are drawn; fewer where selections would have more cells.
PER_KIND, CELLS = 2**11, 2**21
# A skewed input is chosen among so many, where inputs are listed.
AMONG = 64
# How often inputs of rare answers are changed a little, in search of still rarer ones.
ROUNDS = 3
# A split with fewer inputs, of a length or of an answer, is no sample to speak of: then all inputs
# are taken.
FEWEST = 64


@dataclass(frozen=True, eq=False)
class Pool:
    """Different inputs of one length, and which answers each has at some position."""

    codes: Codes
    answers: Int[np.ndarray, "n length"]  # a number for each answer, from 0 without gaps
    inputs: Int[np.ndarray, " has"]  # places in `codes`, answer by answer, ...
    starts: Int[np.ndarray, " bound"]  # ... those of answer i from starts[i] to starts[i + 1]

    @property
    def n_answers(self) -> int:
        """How many different answers occur; None is one."""
        return len(self.starts) - 1

    def draw(self, rng: np.random.Generator, n: int) -> Codes:
        """Random inputs: an answer, all equally likely, then one of the inputs that have it."""
        answers = rng.integers(self.n_answers, size=n)
        counts = np.diff(self.starts)[answers]
        return np.asarray(self.codes[self.inputs[self.starts[answers] + rng.integers(counts)]])

    def within(self, member: Bool[np.ndarray, " n"]) -> Pool:
        """Only the inputs of each answer that are members, where these are not too few."""
        answer = np.repeat(np.arange(self.n_answers), np.diff(self.starts))
        kept = member[self.inputs]
        enough = np.bincount(answer[kept], minlength=self.n_answers) >= FEWEST
        kept |= ~enough[answer]
        starts = np.searchsorted(answer[kept], np.arange(self.n_answers + 1))
        return Pool(self.codes, self.answers, self.inputs[kept], starts)


@lru_cache(maxsize=64)
def broad_pool(case: Case, length: int, seed: int, atol: float = ATOL) -> Pool:
    """Inputs of a length among which every answer has its share, as far as it can be found.

    All inputs, where there are few. Otherwise those of several samplers; then, a few times, changes
    of one or two tokens of inputs whose answers are rare. Numbers within the tolerance are one
    answer.
    """
    rng, n_tokens = np.random.default_rng([seed, length]), len(case.vocab)
    listed = case.listed(length)
    if listed is not None and len(listed) <= FEW:
        return _pool(case, listed, atol)
    if most_inputs(n_tokens, length, None) <= FEW:
        return _pool(case, _meant(case, enumerate_inputs(n_tokens, length)), atol)
    n = max(1, min(PER_KIND, CELLS // length**2))
    found = _pool(case, _meant(case, np.concatenate([*_kinds(rng, case, n, length)])), atol)
    for _ in range(ROUNDS):
        changed = mutate(rng, found.draw(rng, 2 * n), n_tokens)
        found = _pool(case, np.concatenate([found.codes, _meant(case, changed)]), atol)
    return found


def draw_skewed(
    rng: np.random.Generator, n: int, length: int, n_tokens: int, *, alpha: float
) -> Codes:
    """Every input has token weights of its own, from Dirichlet(alpha): few different tokens."""
    cumulative = rng.dirichlet(np.full(n_tokens, alpha), n).cumsum(1)
    draws = rng.random((n, length))
    codes = (draws[:, :, None] >= cumulative[:, None, :]).sum(-1)
    return np.asarray(np.minimum(codes, n_tokens - 1))  # the weights' sum is rounded


def choose_skewed(
    rng: np.random.Generator,
    listed: Int[np.ndarray, "all length"],
    n: int,
    n_tokens: int,
    *,
    alpha: float,
) -> Codes:
    """As `draw_skewed`, for listed inputs: the likeliest by its weights of a few random ones."""
    chosen = np.empty(n, dtype=np.int64)
    for start in range(0, n, PER_KIND):  # so that memory is bounded
        size = min(PER_KIND, n - start)
        weights = np.log(rng.dirichlet(np.full(n_tokens, alpha), size) + np.finfo(float).tiny)
        tried = rng.integers(len(listed), size=(size, AMONG))
        likely = np.take_along_axis(
            weights[:, None], listed[tried].reshape(size, 1, -1), axis=2
        ).reshape(*tried.shape, -1)
        best = likely.sum(-1).argmax(1)
        chosen[start : start + size] = tried[np.arange(size), best]
    return np.asarray(listed[chosen])


def mutate(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """One or two tokens replaced, by any token or by another one of the same input."""
    changed, (n, length) = codes.copy(), codes.shape
    rows = np.arange(n)
    for now in (np.ones(n, dtype=bool), rng.random(n) < 0.5):
        anywhere, elsewhere = rng.integers(length, size=(2, n))
        token = np.where(
            rng.random(n) < 0.5, rng.integers(n_tokens, size=n), changed[rows, elsewhere]
        )
        changed[rows[now], anywhere[now]] = token[now]
    return changed


def _kinds(rng: np.random.Generator, case: Case, n: int, length: int) -> Iterator[Codes]:
    n_tokens = len(case.vocab)
    yield uniform(rng, n, length, n_tokens)
    yield case.sampler(rng, n, length, n_tokens)
    for alpha in (0.1, 0.3):
        yield draw_skewed(rng, n, length, n_tokens, alpha=alpha)
    few = rng.integers(n_tokens, size=(n, min(3, n_tokens)))  # so many different tokens at most
    yield np.take_along_axis(few, rng.integers(few.shape[1], size=(n, length)), axis=1)
    yield np.repeat(np.arange(n_tokens)[:, None], length, axis=1)
    if case.meant is not None:
        yield case.meant.draw(rng, n, length)


def _meant(case: Case, codes: Codes) -> Int[np.ndarray, "fewer length"]:
    return codes if case.meant is None else case.meant.among(codes)


def _pool(case: Case, codes: Codes, atol: float) -> Pool:
    _, first = np.unique(hash_inputs(codes), return_index=True)
    codes = codes[np.sort(first)]
    if not len(codes):
        raise InputError(f"expected inputs that {case.name} is meant for, found none")
    column = case.outputs(codes)
    answers = column.codes
    if flatten(case.program).output.numerical:
        answers = np.round(np.nan_to_num(column.numbers()) / atol).astype(np.int64)
    answers = np.unique(answers, return_inverse=True)[1].reshape(codes.shape)
    # Each input once for each of its answers.
    has = np.unique(answers * len(codes) + np.arange(len(codes))[:, None])
    answer, inputs = np.divmod(has, len(codes))
    return Pool(codes, answers, inputs, np.searchsorted(answer, np.arange(answers.max() + 2)))
