"""Brackets: balances of opening and closing tokens."""

from __future__ import annotations

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case, uniform


def balanced_parentheses(*pairs: str) -> rasp.SOp:
    """Whether each kind of bracket is balanced, each on its own (the shuffle-Dyck language)."""
    balances = [rasp.make_pair_balance(rasp.tokens, *pair) for pair in pairs]

    def every(tests: list[rasp.SOp]) -> rasp.SOp:
        combined = tests[0]
        for test in tests[1:]:
            combined = combined & test
        return combined

    last = rasp.Select(rasp.indices, rasp.make_length() - 1, rasp.Comparison.EQ).named("last")
    closed = every([balance == 0 for balance in balances]).named("all_closed")
    closed_at_end = rasp.Aggregate(last, closed).named("closed_at_end")
    # De Morgan: "somewhere negative" is "not everywhere non-negative".
    negative = every([balance >= 0 for balance in balances]).named("no_negative")
    is_negative = rasp.numerical(rasp.Map(lambda ok: not ok, negative)).named("is_negative")
    everywhere = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.TRUE).named("everywhere")
    share_negative = rasp.numerical(rasp.Aggregate(everywhere, is_negative, default=0))
    never_negative = (~share_negative.named("share_negative")).named("never_negative")
    return (closed_at_end & never_negative).named("balanced")


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
        program=balanced_parentheses("()", "{}"),
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
