"""tracr's evaluation under causal attention: no selector selects a position after the query."""

from __future__ import annotations

from collections.abc import Sequence

from knowncircuits.rasp.expressions import SOp
from knowncircuits.rasp.selectors import Selector
from knowncircuits.rasp.values import Value


def evaluate(expr: SOp | Selector, xs: Sequence[Value]) -> list[Value] | list[list[bool]]:
    """What an S-Op or a selector is on one input, as `expr(xs, causal=True)`."""
    return expr(xs, causal=True)
