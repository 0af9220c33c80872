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


length = make_length()


def make_hist(sop: SOp = tokens) -> SOp:
    """How often the value at each position occurs."""
    return SelectorWidth(Select(sop, sop, Comparison.EQ).named("same")).named("hist")


def make_count(sop: SOp, value: Value) -> SOp:
    """How often `value` occurs, at every position."""
    selector = Select(sop, sop, lambda key, query: key == value)
    return SelectorWidth(selector).named(f"count_{value}")


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


def make_pair_balance(sop: SOp, opening: Value, closing: Value) -> SOp:
    """Fraction of positions so far that hold `opening` minus those that hold `closing`."""
    opens = make_frac_prevs(numerical(sop == opening).named("is_open")).named("opens")
    closes = make_frac_prevs(numerical(sop == closing).named("is_close")).named("closes")
    difference = numerical(LinearSequenceMap(opens, closes, 1, -1))
    return difference.named(f"balance_{opening}{closing}")


def make_sort_unique(values: SOp, keys: SOp) -> SOp:
    """`values` in the order of `keys`, which must not repeat."""
    rank = SelectorWidth(Select(keys, keys, Comparison.LT).named("smaller")).named(
        "target_position"
    )
    return Aggregate(Select(rank, indices, Comparison.EQ), values).named("sort")


def make_sort(values: SOp, keys: SOp, *, max_seq_len: int, min_key: float) -> SOp:
    """`values` in the order of numeric `keys`, ties by position.

    `min_key` is the least difference between keys, which ties are broken within.
    """
    unique = SequenceMap(lambda key, i: key + min_key * i / max_seq_len, keys, indices)
    return make_sort_unique(values, unique.named("unique_key"))


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
