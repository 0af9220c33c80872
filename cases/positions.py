"""Tokens moved, or changed by where they stand."""

from __future__ import annotations

import string

from knowncircuits import rasp
from knowncircuits.cases.case import Case


def double_minus_index() -> rasp.SOp:
    """Twice the token, less its position."""
    doubled = rasp.Map(lambda x: 2 * x, rasp.tokens).named("doubled")
    return -(rasp.indices - doubled).named("index_minus_double")


CASES = (
    Case(
        name="reverse",
        family="positions",
        description="The input from its end to its start.",
        program=rasp.make_reverse(rasp.tokens),
        vocab=tuple(string.ascii_lowercase),
        max_len=9,
        interpbench_id=2,
    ),
    Case(
        name="double_minus_index",
        family="positions",
        description="Twice each number, less its position.",
        program=double_minus_index(),
        vocab=tuple(range(5)),
        max_len=4,
        causal=True,
        interpbench_id=15,
    ),
)
