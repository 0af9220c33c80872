"""From tokens to ids and back: BOS first, then the alphabet, then PAD where there is one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from knowncircuits.errors import InputError
from knowncircuits.rasp.values import Value

BOS = 0


@dataclass(frozen=True, init=False)
class Vocabulary:
    """The alphabet of a case and the longest input, counted without BOS."""

    tokens: tuple[Value, ...]
    max_len: int
    pad: bool = False

    def __init__(self, tokens: Iterable[Value], max_len: int, pad: bool = False) -> None:
        """Tokens in their order; those of a set, which has none, are sorted.

        Raises InputError for a string, which could be one token or several, for tokens that are not
        distinct or None, and for no room for one.
        """
        if isinstance(tokens, (str, bytes)) or not isinstance(tokens, Iterable):
            raise InputError(
                f"expected several tokens, such as ('a', 'b') or list('ab'), got {tokens!r}"
            )
        listed = _in_order(tokens) if isinstance(tokens, Set) else tuple(tokens)
        if not all(isinstance(token, Hashable) for token in listed):
            raise InputError(f"expected tokens that can be compared and hashed, got {listed}")
        if not listed or len(set(listed)) != len(listed) or None in listed:
            raise InputError(f"expected distinct tokens, none of them None, got {listed}")
        if max_len < 1:
            raise InputError(f"expected a longest input of at least one token, got {max_len}")
        for name, value in (("tokens", listed), ("max_len", max_len), ("pad", pad)):
            object.__setattr__(self, name, value)

    @property
    def size(self) -> int:
        """How many ids there are."""
        return len(self.tokens) + 1 + self.pad

    @property
    def n_ctx(self) -> int:
        """Positions that a model needs: the longest input and BOS."""
        return self.max_len + 1

    @property
    def pad_id(self) -> int:
        """The id of PAD; raises InputError where the vocabulary has none."""
        if not self.pad:
            raise InputError("this model was made without a PAD token")
        return self.size - 1

    def encode(self, inputs: Sequence[Sequence[Value]]) -> Int[np.ndarray, "batch pos"]:
        """Ids with BOS first; shorter inputs are filled up with PAD where there is one.

        Raises InputError for an empty batch or input, one that is too long, a token outside the
        alphabet, or lengths that differ without PAD.
        """
        if not inputs:
            raise InputError("expected at least one input, got none")
        lengths = [len(xs) for xs in inputs]
        if min(lengths) < 1 or max(lengths) > self.max_len:
            wrong = min(lengths) if min(lengths) < 1 else max(lengths)
            raise InputError(f"expected inputs of 1 to {self.max_len} tokens, got one of {wrong}")
        if min(lengths) != max(lengths) and not self.pad:
            raise InputError(
                f"expected inputs of one length, got lengths {sorted(set(lengths))} without PAD"
            )
        ids = {token: i + 1 for i, token in enumerate(self.tokens)}
        out = np.full((len(inputs), max(lengths) + 1), self.size - 1)
        out[:, 0] = BOS
        for row, xs in enumerate(inputs):
            for position, token in enumerate(xs):
                if token not in ids:
                    known = ", ".join(map(repr, self.tokens[:12]))
                    more = ", ..." if len(self.tokens) > 12 else ""
                    raise InputError(f"expected tokens among {known}{more}; got {token!r}")
                out[row, position + 1] = ids[token]
        return out


def _in_order(tokens: Set[Value]) -> tuple[Value, ...]:
    """By their own order, or where they have none in common by their types and texts."""
    try:
        return tuple(sorted(tokens))  # type: ignore[type-var]
    except TypeError:
        return tuple(sorted(tokens, key=lambda token: (type(token).__name__, repr(token))))
