"""Idioms that many programs share, most of them named as in the RASP paper and in tracr."""

from __future__ import annotations

from collections.abc import Sequence

from knowncircuits.errors import ProgramError
from knowncircuits.rasp.aggregates import Aggregate, SelectorWidth
from knowncircuits.rasp.expressions import (
    LinearSequenceMap,
    Map,
    SequenceMap,
    SOp,
    indices,
    tokens,
)
from knowncircuits.rasp.functions import numerical
from knowncircuits.rasp.selectors import Comparison, Select
from knowncircuits.rasp.values import Value


def make_length() -> SOp:
    """How many positions are in sight: the input's length, or in a causal program the index + 1."""
    everything = Select(tokens, tokens, Comparison.TRUE).named("everything")
    return SelectorWidth(everything).named("length")


length = make_length().annotated(label="length")


def make_hist(sop: SOp = tokens) -> SOp:
    """How often the value at each position occurs."""
    return SelectorWidth(Select(sop, sop, Comparison.EQ).named("same")).named("hist")


def make_count(sop: SOp, token: Value) -> SOp:
    """How often `token` occurs, at every position."""
    selector = Select(sop, sop, lambda key, query: key == token)
    return SelectorWidth(selector).named(f"count_{token}")


def make_count_less_freq(n: int) -> SOp:
    """At how many positions stands a token that occurs at most `n` times.

    tracr's docstring has fewer than `n`, its program and examples at most `n`.
    """
    hist = make_hist()
    rare = Select(hist, hist, lambda key, query: key <= n).named("rare")
    return SelectorWidth(rare).named("count_less_freq")


def make_reverse(sop: SOp) -> SOp:
    """The sequence from its end to its start; not for causal programs."""
    opposite = (make_length() - indices).named("opposite")
    mirrored = (opposite - 1).named("mirrored")
    return Aggregate(Select(indices, mirrored, Comparison.EQ), sop).named("reverse")


def shift_by(offset: int, sop: SOp) -> SOp:
    """The sequence moved `offset` positions to the right; None where nothing moves in."""
    selector = Select(indices, indices, lambda key, query: query == key + offset)
    return Aggregate(selector, sop).named(f"shift_by({offset})")


def make_frac_prevs(bools: SOp) -> SOp:
    """The fraction of positions so far at which a numerical 0/1 sequence is 1."""
    previous = Select(indices, indices, Comparison.LEQ).named("previous")
    return numerical(Aggregate(previous, numerical(bools), default=0)).named("frac_prevs")


def make_pair_balance(sop: SOp, open_token: Value, close_token: Value) -> SOp:
    """Fraction of positions so far that hold the opening token minus those with the closing one."""
    opens = make_frac_prevs(numerical(sop == open_token).named("is_open")).named("opens")
    closes = make_frac_prevs(numerical(sop == close_token).named("is_close")).named("closes")
    difference = numerical(LinearSequenceMap(opens, closes, 1, -1))
    return difference.named(f"balance_{open_token}{close_token}")


def make_shuffle_dyck(pairs: Sequence[Sequence[Value]]) -> SOp:
    """Whether each kind of bracket is balanced, each on its own (the shuffle-Dyck language).

    Not for causal programs. Raises ProgramError for no kinds, or one without two tokens.
    """
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ProgramError(f"expected pairs of an opening and a closing token, got {pairs!r}")
    balances = [make_pair_balance(tokens, *pair) for pair in pairs]

    def every(tests: list[SOp]) -> SOp:
        combined = tests[0]
        for test in tests[1:]:
            combined = combined & test
        return combined

    last = Select(indices, make_length() - 1, Comparison.EQ).named("last")
    closed = every([balance == 0 for balance in balances]).named("all_closed")
    closed_at_end = Aggregate(last, closed).named("closed_at_end")
    # De Morgan: "somewhere negative" is "not everywhere non-negative".
    negative = every([balance >= 0 for balance in balances]).named("no_negative")
    is_negative = numerical(Map(lambda ok: not ok, negative)).named("is_negative")
    everywhere = Select(indices, indices, Comparison.TRUE).named("everywhere")
    share_negative = numerical(Aggregate(everywhere, is_negative, default=0))
    never_negative = (~share_negative.named("share_negative")).named("never_negative")
    return (closed_at_end & never_negative).named("shuffle_dyck")


def make_shuffle_dyck2() -> SOp:
    """Whether round and curly brackets are balanced."""
    return make_shuffle_dyck(["()", "{}"]).named("shuffle_dyck2")


def make_sort_unique(vals: SOp, keys: SOp) -> SOp:
    """`vals` in the order of `keys`, which must not repeat."""
    rank = SelectorWidth(Select(keys, keys, Comparison.LT).named("smaller")).named(
        "target_position"
    )
    return Aggregate(Select(rank, indices, Comparison.EQ), vals).named("sort")


def make_sort(vals: SOp, keys: SOp, *, max_seq_len: int, min_key: float) -> SOp:
    """`vals` in the order of numeric `keys`, ties by position.

    `min_key` is the least difference between keys, which ties are broken within.
    """
    unique = SequenceMap(lambda key, i: key + min_key * i / max_seq_len, keys, indices)
    return make_sort_unique(vals, unique.named("unique_key"))


def make_sort_freq(max_seq_len: int) -> SOp:
    """The tokens, those that occur most often first, ties by position."""
    return make_sort(tokens, -make_hist(), max_seq_len=max_seq_len, min_key=1).named("sort_freq")


def detect_pattern(sop: SOp, pattern: Sequence[Value]) -> SOp:
    """Whether the pattern ends at each position; None where it does not fit."""
    if not pattern:
        raise ProgramError("expected a pattern of at least one value, got an empty one")
    found: SOp | None = None
    for offset, value in zip(range(len(pattern) - 1, -1, -1), pattern, strict=True):
        here = sop == value
        here = shift_by(offset, here) if offset else here
        found = here if found is None else found & here
    assert found is not None
    return found.named(f"detect_pattern({''.join(map(str, pattern))})")


def make_nary_sequencemap(f: object, *sops: SOp) -> SOp:
    """A function of several S-Ops, by way of a variable whose values are tuples of theirs."""
    if not sops or not callable(f):
        raise ProgramError("expected a function and at least one S-Op")
    if len(sops) == 1:
        return Map(f, sops[0])
    gathered = SequenceMap(lambda x, y: (x, y), sops[0], sops[1])
    for sop in sops[2:]:
        gathered = SequenceMap(lambda x, y: (*x, y), gathered, sop)
    return Map(lambda args: f(*args), gathered)
