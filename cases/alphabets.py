"""Alphabets that several families share."""

from __future__ import annotations

import string

LETTERS = tuple(string.ascii_lowercase)
TEN_LETTERS = LETTERS[:10]
NUMBERS = tuple(range(11))  # 0 to 10
WORDS = ("J", "LB", "TPSI", "V", "b", "no", "oCLrZaW", "poiVg")


def words_and(*more: str) -> tuple[str, ...]:
    """The words and some more, in alphabetical order."""
    return tuple(sorted((*WORDS, *more)))
