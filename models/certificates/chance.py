"""Which misses of a threshold, on few pairs, chance does not explain."""

from __future__ import annotations

from scipy.special import bdtrc

from knowncircuits.models.certificates.agreement import Agreement


def is_missed(found: Agreement, threshold: float, false_alarm: float) -> bool:
    """Whether so few pairs agree that the true share of positions is below the threshold.

    The plain share would not do: of 256 pairs with ten positions each, 99.95% true agreement is at
    one wrong position as often as not, and three are below 99.9%. A share of positions of at least
    t means at most (1 - t) wrong positions for each that counts, so that at most (1 - t) times the
    positions of a pair of all pairs are wrong anywhere, however the positions of a pair hang
    together. Pairs are independent: as many wrong ones as there are, or more, would then be seen
    with at most the binomial tail's probability. It is a miss where that is below `false_alarm`.
    """
    if not found.pairs:
        return True  # nothing was seen to agree
    most = min(1.0, (1 - threshold) * found.positions / found.pairs)
    wrong = found.pairs - found.agreeing_pairs
    return wrong > 0 and bool(bdtrc(wrong - 1, found.pairs, most) < false_alarm)
