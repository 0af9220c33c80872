"""Brackets: balances of opening and closing tokens."""

from __future__ import annotations

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case, uniform


def half_balanced(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
    """Uniform inputs, a random half of them repaired to be balanced: ( ) x { } in this order."""
    codes = uniform(rng, n, length, n_tokens)
    repaired = np.flatnonzero(rng.random(n) < 0.5)
    opening, closing = {0: 1, 3: 4}, {1: 0, 4: 3}
    filler = 2
    for row in (codes[i] for i in repaired):
        open_at: dict[int, list[int]] = {0: [], 3: []}
        for i, token in enumerate(row):
            if token in opening:
                open_at[token].append(i)
            elif token in closing:
                kind = closing[token]
                if open_at[kind]:
                    open_at[kind].pop()
                else:
                    row[i] = filler
        for positions in open_at.values():
            row[positions] = filler
    return codes


CASES = (
    Case(
        name="balanced_parentheses",
        family="brackets",
        description="Whether both kinds of brackets are balanced in the whole input.",
        program=rasp.make_shuffle_dyck(["()", "{}"]).named("balanced"),
        vocab=("(", ")", "x", "{", "}"),
        max_len=9,
        sampler=half_balanced,
        interpbench_id=5,
    ),
    Case(
        name="open_minus_close_fraction",
        family="brackets",
        description="The share of opening less that of closing brackets among the tokens so far.",
        program=rasp.make_pair_balance(rasp.tokens, "(", ")"),
        vocab=("(", ")", "a", "b", "c"),
        max_len=9,
        causal=True,
        interpbench_id=4,
    ),
)
