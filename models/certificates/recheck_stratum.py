"""A stratum of a certificate recomputed by hooks: its sets of edges, and some edges alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from knowncircuits.cases.strata import BALANCED
from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.agreement import Agreement
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.change import Change
from knowncircuits.models.certificates.measured import Measured
from knowncircuits.models.certificates.pairs import CertificatePairs, stratum_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sets import (
    INSIDE_AND_BYSTANDERS,
    ONE_OF_REST,
    RANDOM_INSIDE,
    RANDOM_REST,
    REST,
    StratumSets,
    in_company,
    rest_of,
)
from knowncircuits.models.certificates.stratum import measure_stratum
from knowncircuits.models.certificates.twins import Rows, Twins


def recheck_stratum(
    placed: Placed,
    certificate: Certificate,
    stratum: str,
    edges: Sequence[str],
    n_pairs: int | None,
) -> None:
    """Recompute a stratum's counts of sets, and of some edges, and compare.

    Single edges that are not inside count on pairs on which a set that holds them changes answers,
    or moves a number by half the tolerance.

    Args:
        placed: the models of the certificate.
        certificate: the certificate.
        stratum: one of its strata.
        edges: those to run alone, and, inside ones, with bystanders.
        n_pairs: only the first so many pairs, on which the fast path is run again.

    Raises:
        ModelError: if any count differs.
    """
    expected = certificate.strata[stratum]
    pairs = stratum_pairs(placed.compiled, stratum, expected.n_pairs, certificate.seed)
    seed = [certificate.seed, list(certificate.strata).index(stratum)]
    if n_pairs is not None and n_pairs < expected.n_pairs:
        pairs = CertificatePairs(pairs.base[:n_pairs], pairs.source[:n_pairs], pairs.inputs)
        expected = measure_stratum(
            placed,
            pairs,
            np.random.default_rng(seed),
            n_company=min(expected.n_company, n_pairs),
            by_answer=stratum == BALANCED,
            atol=certificate.atol,
        )
    drawn = StratumSets.draw(placed.circuit, len(pairs.base), np.random.default_rng(seed))
    _compare(placed, pairs, expected, drawn, edges, certificate.atol, stratum)


def _compare(
    placed: Placed,
    pairs: CertificatePairs,
    expected: Measured,
    drawn: StratumSets,
    edges: Sequence[str],
    atol: float,
    stratum: str,
) -> None:
    twins = Twins(placed, pairs.base, pairs.source, atol)
    inside = [edge for edge in edges if edge in expected.edges]
    rest = set(placed.circuit.graph.edges) - set(expected.edges)
    beside = _names(placed, drawn.beside)
    random = _names(placed, drawn.inside)
    accompanied = [r | b for r, b in zip(random, beside, strict=True)]
    agreements: dict[str, tuple[Agreement, Rows]] = {
        "accuracy": (expected.accuracy, [set()]),
        **{edge: (expected.edges[edge], [{edge}]) for edge in inside},
    }
    if RANDOM_INSIDE in expected.sets:
        agreements[RANDOM_INSIDE] = expected.sets[RANDOM_INSIDE], random
    if INSIDE_AND_BYSTANDERS in expected.sets:
        agreements[INSIDE_AND_BYSTANDERS] = expected.sets[INSIDE_AND_BYSTANDERS], accompanied
    for name, (agreement, rows) in agreements.items():
        if agreement != (got := twins.agreement(rows)):
            raise ModelError(f"stratum {stratum}, {name}: expected {agreement}, got {got} by hooks")
    if not rest:
        return
    sets: dict[str, Rows] = {
        REST: [rest] * len(pairs.base),
        RANDOM_REST: _names(placed, drawn.rest),
        ONE_OF_REST: _names(placed, drawn.one),
    }
    found = {name: twins.changes(rows) for name, rows in sets.items()}
    n = expected.n_company
    few = Twins(placed, pairs.base[:n], pairs.source[:n], atol)
    for name, members in rest_of(placed.circuit).items():
        sets[name] = _names(placed, members) * n
        found[name] = few.changes(sets[name])
    for edge in rest.intersection(edges):
        alone = twins.changes([{edge}])
        found[edge] = [
            change
            if any(
                i < len(rows) and edge in rows[i] and found[name][i].moved
                for name, rows in sets.items()
            )
            else Change(change.positions, pairs=1)
            for i, change in enumerate(alone)
        ]
    if inside:
        found[INSIDE_AND_BYSTANDERS] = twins.changes(accompanied)
    _compare_changes(found, expected, stratum)
    company = {in_company(edge): few.changes([{edge} | b for b in beside[:n]]) for edge in inside}
    _compare_changes(company, expected, stratum)


def _compare_changes(
    found: Mapping[str, Sequence[Change]], expected: Measured, stratum: str
) -> None:
    for name, changes in found.items():
        got = sum(changes, Change())
        change = expected.own.get(name, Change(got.positions, pairs=got.pairs))
        if change != got:
            raise ModelError(
                f"stratum {stratum}, own answers under {name}: expected {change}, got {got} by "
                "hooks"
            )


def _names(placed: Placed, sets: Bool[np.ndarray, "pair edge"]) -> list[set[str]]:
    """The edges of each pair's set by their names."""
    edges = placed.model.graph.edges
    return [{edges[i] for i in np.flatnonzero(row)} for row in sets]
