"""A certificate recomputed apart from the code that made it: by hooks, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowncircuits.compiler.compiled import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.agreement import BATCH, Agreement, measure
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.identity import compiled_hash
from knowncircuits.models.certificates.pairs import certificate_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sets import edge_set
from knowncircuits.models.interop.hooked import HookedTwin, to_hooked
from knowncircuits.names import Edge
from knowncircuits.transformer import weights_hash
from knowncircuits.work.progress import reported

# The answers to every input: a token or number at each position, None where there is none.
Answers = list[list[Any]]


def recheck(
    placed: Placed,
    certificate: Certificate,
    *,
    n_edges: int = 6,
    n_pairs: int | None = None,
) -> tuple[str, ...]:
    """Recompute a certificate's counts for some of its edges, and compare.

    Args:
        placed: as for `certify`.
        certificate: made of these models.
        n_edges: how many, half of them inside where there are enough; drawn with the certificate's
            seed.
        n_pairs: only the first so many of the certificate's pairs. Its counts are of all pairs, so
            the fast path is then run again on these. By default all pairs.

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
    low, high = to_hooked(model), to_hooked(compiled.model)

    def answers(twin: HookedTwin, edge: str | None) -> Answers:
        logits = _logits(twin, base, source, edge)
        return compiled.decode(logits) if twin is high else _decode_low(logits, compiled)

    low_clean, high_clean = answers(low, None), answers(high, None)
    for edge in reported(edges):
        low_patched, high_patched = (
            answers(low, edge),
            answers(high, _image(Edge(edge), correspondence)),
        )
        rows = zip(low_patched, high_patched, low_clean, high_clean, strict=True)
        got = sum((_count(*row, certificate.atol, placed.says_none) for row in rows), Agreement())
        if got != expected[edge]:
            raise ModelError(f"{edge}: expected {expected[edge]}, got {got} by hooks")
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


def _image(edge: Edge, correspondence: Correspondence) -> Edge | None:
    """The compiled edge that a low-level edge stands for, by their names."""
    high_of = {low: high for high, low in correspondence.nodes.items()}
    if not high_of.keys() >= set(edge.ends):
        return None
    image = edge.placed(high_of)
    return image if image in correspondence.high.carries else None


def _logits(twin: HookedTwin, base: Tensor, source: Tensor, edge: str | None) -> Tensor:
    """The outputs on base, with one edge reading the run on source."""
    found = []
    with torch.no_grad():
        for some, others in zip(*(torch.split(x, BATCH) for x in (base, source)), strict=True):
            ids = some.to(twin.W_E.device)
            if edge is None:
                found.append(twin.run(ids).logits)
                continue
            mask = torch.zeros(1, twin.graph.n_edges, dtype=twin.W_E.dtype, device=ids.device)
            mask[0, twin.graph.index(edge)] = 1
            alternative = twin.run(others.to(ids.device)).outputs
            found.append(twin.run(ids, alternative, mask).logits)
    return torch.cat(found)


def _decode_low(logits: Tensor, compiled: Compiled) -> Answers:
    """As `Compiled.decode`, but for a model that has an answer everywhere, if only "none"."""
    if compiled.output.numerical:
        return compiled.decode(logits)
    values = [*compiled.output.values, None]
    return [[values[i] for i in row] for row in logits[:, 1:].argmax(-1).tolist()]


def _count(
    low: list[Any],
    high: list[Any],
    low_clean: list[Any],
    high_clean: list[Any],
    atol: float,
    everywhere: bool,
) -> Agreement:
    """The counts of one pair."""

    def equal(a: Any, b: Any) -> bool:
        return abs(a - b) <= atol if isinstance(a, float) and isinstance(b, float) else a == b

    at = [i for i, answer in enumerate(high) if everywhere or answer is not None]
    agrees = [equal(low[i], high[i]) for i in at]
    changed = [not equal(high[i], high_clean[i]) for i in at]
    return Agreement(
        positions=len(at),
        agreeing=sum(agrees),
        pairs=int(bool(at)),
        agreeing_pairs=int(bool(at) and all(agrees)),
        low_changed=sum(not equal(low[i], low_clean[i]) for i in at),
        high_changed=sum(changed),
        followed=sum(a and c for a, c in zip(agrees, changed, strict=True)),
    )
