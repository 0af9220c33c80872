"""Which counts a measurement can give: parts are no larger than their wholes."""

from __future__ import annotations

from knowncircuits.models.certificates.agreement import Agreement
from knowncircuits.models.certificates.change import Change


def is_possible(found: Agreement, n_pairs: int, max_len: int) -> bool:
    """Whether parts are no larger than their wholes; each pair counts one position or more."""
    return (
        0 <= found.followed <= found.high_changed <= found.positions
        and 0 <= found.low_changed <= found.positions
        and 0 <= found.agreeing_pairs <= found.pairs <= n_pairs
        and found.pairs <= found.positions <= found.pairs * max_len
        and found.followed <= found.agreeing <= found.positions
        and found.agreeing_pairs <= found.agreeing
        and found.pairs - found.agreeing_pairs <= found.positions - found.agreeing
    )


def is_possible_change(found: Change, n_pairs: int, length: int) -> bool:
    """Whether parts are no larger than their wholes; every pair counts all its positions."""
    return (
        found.pairs == n_pairs
        and found.positions == n_pairs * length
        and 0 <= found.changed <= found.moved <= found.positions
        and 0 <= found.changed_pairs <= found.changed <= found.changed_pairs * length
        and found.changed_pairs <= n_pairs
    )
