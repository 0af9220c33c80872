"""What a certificate of a model must hold, worked out anew from the case: what was left out shows.

A certificate's own thresholds say nothing of sets that are missing, of a tolerance that lets
everything pass, or of pairs that are not those that it names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import torch

from knowncircuits.cases.pools import ATOL
from knowncircuits.circuit import Circuit
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.models.certificates.agreement import ABLATIONS
from knowncircuits.models.certificates.certificate import Certificate, label_names
from knowncircuits.models.certificates.pairs import certificate_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.possible import is_possible
from knowncircuits.models.certificates.sets import drawn_among, outside_set
from knowncircuits.models.certificates.strata_contents import wrong_strata


def contradictions(
    certificate: Certificate,
    placed: Placed,
    *,
    strata: bool = False,
    drawn: Collection[str] | None = None,
) -> list[str]:
    """Everything in a certificate that is not what `certify` would have put there.

    The counts themselves are not measured again; see `knowncircuits.models.certificates.recheck`.

    Args:
        certificate: of the model.
        placed: the model.
        strata: whether it has to have all of the case's; certificates of zoo 1 have none.
        drawn: the strata whose pairs are drawn again, which takes longest; by default all.
    """
    return [
        *_wrong_names(certificate, placed.circuit),
        *_wrong_pairs(certificate, placed.compiled),
        *_wrong_counts(certificate, placed.compiled.vocabulary.max_len),
        *(wrong_strata(certificate, placed, drawn) if strata or certificate.strata else ()),
    ]


def _wrong_names(certificate: Certificate, circuit: Circuit) -> Iterator[str]:
    """Edges, nodes and sets that are missing, or that there are not."""
    graph = circuit.graph
    outside = list(outside_set(circuit))
    reported = {kind: [*outside, *circuit.edges()] for kind in ABLATIONS if kind != "resample"}
    expected = {
        "edges": graph.edges,
        "nodes": graph.sources,
        "sets": [*outside, *drawn_among(circuit)],
        "ablations": reported,
        **{f"ablations.{kind}": names for kind, names in reported.items()},
    }
    found = {
        **{name: getattr(certificate, name) for name in ("edges", "nodes", "sets", "ablations")},
        **{f"ablations.{kind}": certificate.ablations.get(kind, {}) for kind in reported},
    }
    for what, names in expected.items():
        if wrong := sorted(set(names) ^ set(found[what])):
            yield (
                f"expected {len(names)} {what} in the certificate, got {len(found[what])}, "
                f"missing or unknown: {', '.join(wrong[:3])}"
            )
    if certificate.labels != label_names(circuit):
        yield "expected the placement's labels in the certificate"


def _wrong_pairs(certificate: Certificate, compiled: Compiled) -> Iterator[str]:
    """Pairs that are not those that the case, their number and the seed give; the tolerance."""
    if certificate.atol != ATOL:
        yield f"expected a certificate with a tolerance of {ATOL}, got {certificate.atol}"
    pairs = certificate_pairs(compiled, certificate.n_pairs, certificate.seed)
    both = torch.cat([pairs.base, pairs.source]).cpu().numpy()
    expected = pairs.inputs, len(pairs.base), len(np.unique(both, axis=0))
    got = certificate.inputs, certificate.n_pairs, certificate.n_inputs
    if expected != got:
        yield "expected a certificate of {} ({}, of {} inputs), got one of {} ({}, of {})".format(
            *expected, *got
        )


def _wrong_counts(certificate: Certificate, max_len: int) -> Iterator[str]:
    """Counts that no measurement of so many pairs gives."""
    groups = {
        "edges": certificate.edges,
        "nodes": certificate.nodes,
        "sets": certificate.sets,
        "accuracy": {"nothing": certificate.accuracy},
        **certificate.ablations,
    }
    for kind, group in groups.items():
        for name, found in group.items():
            if not is_possible(found, certificate.n_pairs, max_len):
                yield f"{kind} {name}: expected counts of {certificate.n_pairs} pairs, got {found}"
