"""Which inputs a program is meant for, where these are not all that its vocabulary has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from knowncircuits.errors import InputError
from knowncircuits.rasp.values import Value
from knowncircuits.rasp.vocabulary import Vocabulary

# A predicate over the tuple of tokens, or the inputs themselves.
MeantInputs = Callable[[tuple[Value, ...]], bool] | Iterable[Sequence[Value]]

# How often as many inputs as are wanted are drawn in search of those that are meant.
ROUNDS = 50

Codes = Int[np.ndarray, "n length"]  # inputs as indices into the alphabet


class Meant:
    """The inputs that a program is meant for: those that a predicate holds of, or those listed."""

    def __init__(self, inputs: MeantInputs, vocabulary: Vocabulary) -> None:
        """Raises InputError for listed inputs that the vocabulary cannot encode, or none at all."""
        self.vocabulary = vocabulary
        self.listed: dict[int, Codes] | None = None  # by their length
        self._holds: Callable[[tuple[Value, ...]], bool]
        if callable(inputs):
            self._holds = inputs
            return
        listed = dict.fromkeys(map(tuple, inputs))
        if not listed:
            raise InputError("expected at least one input that the program is meant for, got none")
        self._holds = listed.__contains__
        by_length: dict[int, list[tuple[Value, ...]]] = {}
        for xs in listed:
            by_length.setdefault(len(xs), []).append(xs)
        self.listed = {n: vocabulary.encode(by_length[n])[:, 1:] - 1 for n in sorted(by_length)}

    @classmethod
    def of(cls, inputs: MeantInputs | Meant, vocabulary: Vocabulary) -> Meant:
        """As a new one, if it is not one of these tokens already: long lists are kept."""
        if isinstance(inputs, Meant):
            if inputs.vocabulary.tokens == vocabulary.tokens:
                return inputs
            raise InputError(
                f"expected inputs of {list(vocabulary.tokens)}, got some of "
                f"{list(inputs.vocabulary.tokens)}"
            )
        return cls(inputs, vocabulary)

    def __contains__(self, tokens: Sequence[Value]) -> bool:
        return bool(self._holds(tuple(tokens)))

    def check(self, inputs: Iterable[Sequence[Value]]) -> None:
        """Raise InputError for an input that the program is not meant for."""
        for tokens in inputs:
            if tokens not in self:
                raise InputError(
                    f"expected an input that the program is meant for, got {list(tokens)}"
                )

    def holds(self, codes: Codes) -> Bool[np.ndarray, " n"]:
        """Which of some inputs are meant."""
        tokens = self.vocabulary.tokens
        meant = [tuple(tokens[code] for code in row) in self for row in codes.tolist()]
        return np.array(meant, dtype=bool)

    def among(self, codes: Codes) -> Int[np.ndarray, "fewer length"]:
        """Those of some inputs that are meant."""
        return np.asarray(codes[self.holds(codes)])

    def of_length(self, length: int) -> Codes | None:
        """All of a length, where they are listed; None where a predicate says which they are."""
        if self.listed is None:
            return None
        return self.listed.get(length, np.empty((0, length), dtype=np.int64))

    def draw(
        self, rng: np.random.Generator, n: int, length: int
    ) -> Int[np.ndarray, "fewer length"]:
        """Random ones of a length, all equally likely; fewer or none where few are met with."""
        listed = self.of_length(length)
        if listed is not None:
            return listed[rng.integers(len(listed), size=n)] if len(listed) else listed
        found = np.empty((0, length), dtype=np.int64)
        for _ in range(ROUNDS):
            drawn = rng.integers(len(self.vocabulary.tokens), size=(n, length))
            found = np.concatenate([found, self.among(drawn)])
            if len(found) >= n:
                break
        return found[:n]


@dataclass(frozen=True)
class ProgramInputs:
    """The inputs of a program that is no case: all are drawn alike."""

    vocabulary: Vocabulary
    meant: Meant | None = None  # those that it is meant for; None: all

    def draw(self, n: int, seed: int) -> Codes:
        """Random inputs of the greatest length, as indices into the alphabet.

        Raises InputError where too few that are meant are met with at random.
        """
        rng, length = np.random.default_rng(seed), self.vocabulary.max_len
        if self.meant is None:
            return rng.integers(len(self.vocabulary.tokens), size=(n, length))
        drawn = self.meant.draw(rng, n, length)
        if len(drawn) < n:
            raise InputError(
                f"expected {n} inputs of {length} tokens that the program is meant for, got "
                f"{len(drawn)} at random: list them as inputs, or compile a Case with a sampler"
            )
        return drawn


def tried_inputs(vocabulary: Vocabulary, n: int, meant: Meant | None) -> Iterator[Codes]:
    """The inputs of each length on which a program is tried.

    All listed ones, or else all where they are few and a fixed random sample otherwise, of some n
    altogether and n of the greatest length; in any case only those that are meant.
    """
    if meant is not None and meant.listed is not None:
        yield from meant.listed.values()
        return
    n_tokens, rng = len(vocabulary.tokens), np.random.default_rng(0)
    per_length = max(50, n // vocabulary.max_len)
    for length in range(1, vocabulary.max_len + 1):
        if n_tokens**length <= per_length:
            codes = np.array(list(itertools.product(range(n_tokens), repeat=length)))
            codes = codes if meant is None else meant.among(codes)
        else:
            size = n if length == vocabulary.max_len else per_length
            if meant is None:
                codes = rng.integers(n_tokens, size=(size, length))
            else:
                codes = meant.draw(rng, size, length)
        if len(codes):
            yield codes
