"""Which part of a costly test runs without `--all`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings

from programs import TWELVE


def examples(n: int) -> int:
    """How many to draw where each is costly: n with `--all`, without it a quarter."""
    return n * settings.default.max_examples // 100


def some_long(names: Iterable[str], *long: str) -> list[object]:
    """Parameters of a test that is long for some of them."""
    return [pytest.param(n, marks=pytest.mark.long) if n in long else n for n in names]


def twelve_first(names: Iterable[str]) -> list[object]:
    """Parameters of a test that is of the twelve, and with `--all` of the others too."""
    names = list(names)
    return some_long(names, *(name for name in names if name not in TWELVE))
