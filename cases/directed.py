"""Pairs with a direction: clean inputs have a property that corrupted ones lack, or the reverse.

On real models pairs are made so: a prompt that has the feature, and the same one without it.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
from jaxtyping import Int

from knowncircuits.cases.case import Case
from knowncircuits.cases.choices import Direction
from knowncircuits.cases.sampling import Codes, in_split
from knowncircuits.errors import TaskError

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
ATTEMPTS = 100  # how often inputs are drawn anew before giving up


def directed_inputs(
    case: Case,
    n: int,
    seed: int,
    direction: Direction,
    *,
    length: int | None = None,
    split: str | None = None,
) -> tuple[Int[np.ndarray, "pair length"], Int[np.ndarray, "pair length"]]:
    """Clean and corrupted inputs, of which one has the case's property and the other lacks it.

    Each pair is made of one input that the case draws. Equal seeds give the same inputs in both
    directions, clean and corrupted exchanged.

    Raises TaskError for a case without a property, or where no such pairs can be found.
    """
    contrast, n_tokens = case.contrast, len(case.vocab)
    if contrast is None:
        raise TaskError(
            f"expected a case that names a property for {direction} pairs, as those of the suite "
            f"hard do, got {case.name!r}"
        )
    own, *seeds = np.random.SeedSequence(seed).generate_state(ATTEMPTS + 1).tolist()
    rng = np.random.default_rng(own)
    found: list[tuple[Codes, Codes]] = []
    missing = n
    for attempt in seeds:
        off = contrast.switch_off(rng, case.draw(n, attempt, length), n_tokens)
        on = contrast.switch_on(rng, off.copy(), n_tokens)
        good = (on != off).any(1)
        for codes in (on, off):
            good &= in_split(codes, n_tokens, split)
            good &= True if case.meant is None else case.meant.holds(codes)
        found.append((on[good][:missing], off[good][:missing]))
        missing -= len(found[-1][0])
        if not missing:
            on, off = (np.concatenate(part) for part in zip(*found, strict=True))
            return (on, off) if direction == "on-off" else (off, on)
    raise TaskError(
        f"expected {n} {direction} pairs of {case.name}, found {n - missing} in {ATTEMPTS} draws"
    )
