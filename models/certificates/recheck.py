"""A certificate recomputed apart from the code that made it: by hooks, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.agreement import Agreement, measure
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.identity import compiled_hash
from knowncircuits.models.certificates.pairs import certificate_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.recheck_stratum import recheck_stratum
from knowncircuits.models.certificates.sets import edge_set
from knowncircuits.models.certificates.twins import Twins
from knowncircuits.transformer import weights_hash
from knowncircuits.work.progress import reported


def recheck(
    placed: Placed,
    certificate: Certificate,
    *,
    n_edges: int = 6,
    n_pairs: int | None = None,
) -> tuple[str, ...]:
    """Recompute a certificate's counts for some of its edges, in its strata too, and compare.

    Args:
        placed: as for `certify`.
        certificate: made of these models.
        n_edges: how many, half of them inside where there are enough; drawn with the certificate's
            seed.
        n_pairs: only the first so many of the certificate's pairs, and of each stratum's. Its
            counts are of all pairs, so the fast path is then run again on these. By default all
            pairs.

    Returns:
        The edges that were recomputed.

    Raises:
        ModelError: if the weights are not those of the certificate, or any count differs.
    """
    model, compiled, correspondence = placed.model, placed.compiled, placed.correspondence
    hashes = weights_hash(model), compiled_hash(compiled)
    if hashes != (certificate.weights, certificate.compiled_weights):
        raise ModelError("expected the weights that the certificate is of, got others")
    pairs = certificate_pairs(compiled, certificate.n_pairs, certificate.seed)
    base, source = pairs.base[:n_pairs], pairs.source[:n_pairs]
    edges = _choose(certificate, n_edges)
    expected: Mapping[str, Agreement] = certificate.edges
    if len(base) < certificate.n_pairs:
        graph, atol = correspondence.low, certificate.atol
        sets = {edge: edge_set(graph, [graph.index(edge)]) for edge in edges}
        expected = measure(placed, base, source, sets, atol=atol)
    twins = Twins(placed, base, source, certificate.atol)
    for edge in reported(edges):
        got = twins.agreement(twins.rows([edge]))
        if got != expected[edge]:
            raise ModelError(f"{edge}: expected {expected[edge]}, got {got} by hooks")
    for stratum in certificate.strata:
        recheck_stratum(placed, certificate, stratum, edges, n_pairs)
    return edges


def _choose(certificate: Certificate, n_edges: int) -> tuple[str, ...]:
    """Measured edges, half inside and half outside, but for what one side lacks."""
    rng = np.random.default_rng(certificate.seed)
    inside, outside = (
        rng.permutation([e for e in certificate.edges if certificate.labels[e] == label]).tolist()
        for label in ("in", "out")
    )
    n_inside = max(n_edges // 2, n_edges - len(outside))
    return (*inside[:n_inside], *outside[: n_edges - len(inside[:n_inside])])
