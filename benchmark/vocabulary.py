"""From tokens to ids and back: BOS first, then the alphabet, then PAD where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from knowncircuits.errors import InputError
from knowncircuits.rasp.expressions import Value

BOS = 0


@dataclass(frozen=True)
class Vocabulary:
    """The alphabet of a case and the longest input, counted without BOS."""

    tokens: tuple[Value, ...]
    max_len: int
    pad: bool = False

    def __post_init__(self) -> None:
        if not self.tokens or len(set(self.tokens)) != len(self.tokens) or None in self.tokens:
            raise InputError(f"expected distinct tokens, none of them None, got {self.tokens}")
        if self.max_len < 1:
            raise InputError(f"expected a longest input of at least one token, got {self.max_len}")

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
