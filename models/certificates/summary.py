"""A certificate in a few numbers, for tables and for the list of what could not be certified."""

from __future__ import annotations

import math
from dataclasses import dataclass

from knowncircuits.models.certificates.agreement import worst
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.sets import OUTSIDE, RANDOM

Worst = tuple[str, float | None]  # what agrees least, and how often; none: ("", 1); NaN is None


@dataclass(frozen=True)
class Summary:
    """The certificate's shares and effects that its thresholds are about."""

    edges_in: int
    edges_out: int
    accuracy: float | None
    worst_inside: Worst
    worst_outside: Worst
    all_outside: float | None
    random_sets: Worst
    largest_outside_effect: tuple[str, float]
    smallest_inside_effect: tuple[str, float]
    pairs: int

    @classmethod
    def of(cls, certificate: Certificate) -> Summary:
        """The summary of a certificate."""
        labels, edges = certificate.labels, certificate.edges
        inside = {edge: found for edge, found in edges.items() if labels[edge] == "in"}
        outside = {edge: found for edge, found in edges.items() if labels[edge] == "out"}
        sets = certificate.sets
        return cls(
            edges_in=list(labels.values()).count("in"),
            edges_out=list(labels.values()).count("out"),
            accuracy=_number(certificate.accuracy.share),
            worst_inside=_plain(worst(inside)),
            worst_outside=_plain(worst(outside)),
            all_outside=_number(sets[OUTSIDE].share) if OUTSIDE in sets else 1.0,
            random_sets=_plain(worst({name: sets[name] for name in RANDOM if name in sets})),
            largest_outside_effect=certificate.largest_outside_effect,
            smallest_inside_effect=certificate.smallest_inside_effect,
            pairs=certificate.n_pairs,
        )


def _number(share: float) -> float | None:
    """The share; None, which JSON has, for NaN, which it has not."""
    return None if math.isnan(share) else share


def _plain(found: tuple[str, float]) -> Worst:
    name, share = found
    return name, _number(share)
