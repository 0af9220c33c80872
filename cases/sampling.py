"""How inputs are drawn: seeded, split into train and test, without duplicates on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Int, UInt64

from knowncircuits.errors import InputError, UnknownNameError
from knowncircuits.rasp.columns import NONE, Column, tabulate
from knowncircuits.rasp.values import Value
from knowncircuits.rasp.vocabulary import BOS, Vocabulary

Codes = Int[np.ndarray, "n length"]
# (random generator, how many, length, size of the alphabet) -> indices into it [n, length]
Sampler = Callable[[np.random.Generator, int, int, int], Codes]
# (random generator, inputs, size of the alphabet) -> inputs that have a property, made from these
Satisfy = Callable[[np.random.Generator, Codes, int], Codes]

SPLITS = ("train", "test")
TEST_SHARE = 0.2
# Up to so many inputs the split is exact and unique inputs can be had to the last one.
FEW = 2**16
# More inputs than this are not listed.
MAX_ENUMERATED = 2**24
# How often more inputs are drawn before giving up.
ROUNDS = 20
PAD = -1  # the code where an input is over


def enumerate_inputs(n_tokens: int, length: int) -> Codes:
    """Every input of a length, in order; raises InputError where there are too many to list."""
    n = n_tokens**length
    if n > MAX_ENUMERATED:
        raise InputError(f"expected at most {MAX_ENUMERATED} inputs to list, got {n}")
    places = n_tokens ** np.arange(length - 1, -1, -1)
    return np.arange(n)[:, None] // places % n_tokens


def hash_inputs(codes: Codes) -> UInt64[np.ndarray, " n"]:
    """A number for each input that depends on nothing else: splitmix64, token by token."""
    h = np.full(len(codes), codes.shape[1], dtype=np.uint64)
    for column in codes.T:
        h = (h ^ column.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
    return h


def in_split(codes: Codes, n_tokens: int, split: str | None) -> Bool[np.ndarray, " n"]:
    """Which inputs belong to a split of all inputs; None: every one.

    An input is a test input if its hash is among the lowest fifth, whatever was drawn before, so
    that no input is ever both. Where there are few inputs, the fifth is exact, and at least one.

    Raises:
        UnknownNameError: for another split.
    """
    if split is None:
        return np.ones(len(codes), dtype=bool)
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    is_test = hash_inputs(codes) < np.uint64(_test_bound(n_tokens, codes.shape[1]))
    return is_test if split == "test" else ~is_test


@cache
def _test_bound(n_tokens: int, length: int) -> int:
    """Test inputs are those whose hash is less."""
    if n_tokens**length > FEW:
        return int(TEST_SHARE * 2**64)
    hashes = np.sort(hash_inputs(enumerate_inputs(n_tokens, length)))
    n_test = max(1, round(TEST_SHARE * len(hashes)))
    return int(hashes[min(n_test, len(hashes) - 1)])


def most_inputs(n_tokens: int, length: int, split: str | None) -> int:
    """How many inputs there are; of a split of more than a few, no more than so many."""
    n = int(n_tokens**length)
    if split is None or n > FEW:
        return n
    return int(in_split(enumerate_inputs(n_tokens, length), n_tokens, split).sum())


def draw_inputs(
    sampler: Sampler,
    seed: int,
    n: int,
    length: int,
    n_tokens: int,
    *,
    unique: bool = False,
    split: str | None = None,
) -> Codes:
    """What a sampler draws, less what is not in the split or, on request, was drawn before.

    Where a sampler all but never draws some inputs, and few exist, the last unique ones are taken
    at random from all that are left.

    Raises:
        InputError: for more unique inputs than there are, or than the sampler yields.
        UnknownNameError: for another split.
    """
    rng = np.random.default_rng(seed)
    if not unique and split is None:
        return sampler(rng, n, length, n_tokens)
    most = most_inputs(n_tokens, length, split)
    where = f"of length {length}" + (f" in the {split} split" if split else "")
    if (unique and n > most) or not most:
        raise InputError(f"expected at most {most} different inputs {where}, got {n} asked for")
    kept = np.empty((0, length), dtype=np.int64)
    for _ in range(ROUNDS):
        drawn = sampler(rng, 2 * n + 256, length, n_tokens)
        kept = np.concatenate([kept, drawn[in_split(drawn, n_tokens, split)]])
        kept = _without_repeats(kept) if unique else kept
        if len(kept) >= n:
            return kept[:n]
    if not unique or n_tokens**length > FEW:
        raise InputError(f"expected a sampler that yields {n} inputs {where}, got {len(kept)}")
    rest = rng.permutation(enumerate_inputs(n_tokens, length))
    kept = np.concatenate([kept, rest[in_split(rest, n_tokens, split)]])
    return _without_repeats(kept)[:n]


def _without_repeats(codes: Codes) -> Int[np.ndarray, "fewer length"]:
    _, first = np.unique(hash_inputs(codes), return_index=True)
    return codes[np.sort(first)]


def share_out(rng: np.random.Generator, n: int, most: Sequence[int]) -> list[int]:
    """How many of n inputs have each length: evenly at random, but never more than there are."""
    room = np.array([min(n, limit) for limit in most])
    if room.sum() < n:
        raise InputError(f"expected at most {room.sum()} different inputs, got {n} asked for")
    counts = np.zeros_like(room)
    while (missing := n - counts.sum()) > 0:
        open_ = counts < room
        counts = np.minimum(counts + rng.multinomial(missing, open_ / open_.sum()), room)
    return [int(count) for count in counts]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs of one or several lengths with what the program says of them."""

    vocabulary: Vocabulary
    codes: Int[np.ndarray, "n length"]  # indices into the alphabet, PAD (-1) after the end
    lengths: Int[np.ndarray, " n"]
    outputs: Column  # None after the end

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def ids(self) -> Int[np.ndarray, "n pos"]:
        """What a model reads: BOS first, PAD after the end."""
        ids = np.pad(self.codes + 1, ((0, 0), (1, 0)), constant_values=BOS)
        if (self.codes == PAD).any():
            ids[:, 1:][self.codes == PAD] = self.vocabulary.pad_id
        return ids

    @property
    def inputs(self) -> list[list[Value]]:
        """The tokens of each input."""
        tokens = self.vocabulary.tokens
        rows = zip(self.codes.tolist(), self.lengths.tolist(), strict=True)
        return [[tokens[code] for code in row[:length]] for row, length in rows]

    @property
    def answers(self) -> list[list[Value]]:
        """The program's value at each token of each input."""
        rows = zip(self.outputs.decode(), self.lengths.tolist(), strict=True)
        return [row[:length] for row, length in rows]


def gather(
    vocabulary: Vocabulary,
    parts: Sequence[tuple[np.ndarray, Column]],  # of one length each
    order: Int[np.ndarray, " n"],
    length: int,
) -> Dataset:
    """One data set of inputs and outputs of several lengths, in another order."""
    merged, values = tabulate(value for _, outputs in parts for value in outputs.values)
    starts = np.cumsum([0, *(len(outputs.values) for _, outputs in parts)])
    shape = (len(order), length)
    codes, answers = np.full(shape, PAD), np.full(shape, NONE)
    lengths, row = np.empty(len(order), dtype=np.int64), 0
    for start, (inputs, outputs) in zip(starts, parts, strict=False):
        rows = order[row : row + len(inputs)]
        lookup = np.append(merged[start : start + len(outputs.values)], NONE)
        codes[rows, : inputs.shape[1]] = inputs
        answers[rows, : inputs.shape[1]] = lookup[outputs.codes]
        lengths[rows] = inputs.shape[1]
        row += len(inputs)
    return Dataset(vocabulary, codes, lengths, Column(answers, values))
