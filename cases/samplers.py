"""Samplers for cases whose outputs would be one-sided on uniform inputs."""

from __future__ import annotations

import numpy as np

from knowncircuits.cases.case import uniform
from knowncircuits.cases.sampling import Codes, Sampler, Satisfy


def balanced(satisfy: Satisfy, *, near_misses: bool = True) -> Sampler:
    """Half of the inputs are made to have a property; the others are uniform.

    With near misses, half of the others have the property but for one token, which is drawn anew:
    otherwise a single odd token would never decide.
    """

    def sample(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        codes = uniform(rng, n, length, n_tokens)
        kind = rng.random(n)
        made = kind < (0.75 if near_misses else 0.5)
        codes[made] = satisfy(rng, codes[made], n_tokens)
        missing = np.flatnonzero(made & (kind >= 0.5))
        where = rng.integers(length, size=len(missing))
        codes[missing, where] = rng.integers(n_tokens, size=len(missing))
        return codes

    made = (satisfy.__doc__ or satisfy.__name__).strip().splitlines()[0]
    others = "half nearly so, half uniform" if near_misses else "uniform"
    sample.__doc__ = f"Half of the inputs: {made[0].lower()}{made[1:]} The others: {others}."
    return sample


def uniform_maximum(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
    """Every token equally likely up to a greatest one, which is drawn first for each input.

    The greatest of many uniform tokens is nearly always among the last of the alphabet.
    """
    ceiling = rng.integers(n_tokens, size=(n, 1))
    return rng.integers(ceiling + 1, size=(n, length))


def ascending(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """The same tokens in order."""
    return np.sort(codes, axis=1)


def descending(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """The same tokens in falling order."""
    return np.sort(codes, axis=1)[:, ::-1]


def constant(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """The first token everywhere."""
    return np.broadcast_to(codes[:, :1], codes.shape)


def distinct(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """No token twice, as far as the alphabet suffices."""
    length = codes.shape[1]
    everything = np.arange(max(n_tokens, length)) % n_tokens
    return rng.permuted(np.tile(everything, (len(codes), 1)), axis=1)[:, :length]


def mirrored(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """Palindromes: the second half is the first, backwards."""
    places = np.arange(codes.shape[1])
    return codes[:, np.minimum(places, places[::-1])]


def even(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """Tokens at even places of the alphabet only."""
    return codes // 2 * 2


def alternating(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """Tokens at even and odd places of the alphabet in turn."""
    parity = (codes[:, :1] + np.arange(codes.shape[1])) % 2
    return rng.integers((n_tokens + 1 - parity) // 2) * 2 + parity


def equal_at_the_end(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """The last token repeats the one before it."""
    return np.concatenate([codes[:, :-1], codes[:, -2:-1] if codes.shape[1] > 1 else codes], axis=1)


def containing(*pattern: int) -> Satisfy:
    """Makes inputs that hold a pattern at some place, where they are long enough."""

    def satisfy(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
        """A pattern is planted at a random place."""
        n, length = codes.shape
        if length < len(pattern):
            return codes
        start = rng.integers(length - len(pattern) + 1, size=(n, 1))
        planted = codes.copy()
        np.put_along_axis(planted, start + np.arange(len(pattern)), np.array([pattern]), axis=1)
        return planted

    return satisfy
