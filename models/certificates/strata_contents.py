"""What a certificate's strata must hold, worked out anew from the case."""

from __future__ import annotations

from collections.abc import Iterator

from knowncircuits.cases.case import Case
from knowncircuits.cases.strata import BALANCED, strata_of
from knowncircuits.circuit import Circuit
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.measured import Measured
from knowncircuits.models.certificates.pairs import n_in_company, n_of_stratum, stratum_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.possible import is_possible, is_possible_change
from knowncircuits.models.certificates.sets import (
    INSIDE_AND_BYSTANDERS,
    ONE_OF_REST,
    RANDOM_INSIDE,
    RANDOM_REST,
    REST,
    in_company,
)


def wrong_strata(certificate: Certificate, placed: Placed) -> Iterator[str]:
    """Everything in a certificate's strata that is not what `certify` would have put there."""
    case = placed.compiled.case
    expected = strata_of(case) if isinstance(case, Case) else ()
    if tuple(certificate.strata) != expected:
        yield (
            f"expected the strata {', '.join(expected)} in the certificate, got "
            f"{', '.join(certificate.strata) or 'none'}"
        )
    for name in expected:
        if (found := certificate.strata.get(name)) is not None:
            problems = [
                *_wrong_pairs(found, certificate, placed, name),
                *_wrong_names(found, placed.circuit, balanced=name == BALANCED),
            ]
            yield from (f"stratum {name}: {problem}" for problem in problems)


def _wrong_pairs(
    found: Measured, certificate: Certificate, placed: Placed, name: str
) -> Iterator[str]:
    """Pairs that are not those that case, number and seed give; counts that they cannot give."""
    n_sampled = certificate.n_pairs
    n_pairs = n_of_stratum(name, n_sampled, enumerated=certificate.enumerated)
    pairs = stratum_pairs(placed.compiled, name, n_pairs, certificate.seed)
    n, length = len(pairs.base), pairs.base.shape[1] - 1
    company = n_in_company(n, n_sampled)
    expected = pairs.inputs, n, pairs.n_inputs, pairs.n_beyond, company
    got = found.inputs, found.n_pairs, found.n_inputs, found.n_beyond, found.n_company
    if expected != got:
        yield f"expected pairs of {expected}, got {got}"
        return
    agreements = {"accuracy": found.accuracy, **found.answers, **found.edges, **found.sets}
    for what, agreement in agreements.items():
        if not is_possible(agreement, n, length):
            yield f"{what}: expected counts of {n} pairs, got {agreement}"
    for what, change in found.own.items():
        n_of = company if what.endswith(in_company("")) and what != INSIDE_AND_BYSTANDERS else n
        if not is_possible_change(change, n_of, length):
            yield f"own answers under {what}: expected counts of {n_of} pairs, got {change}"


def _wrong_names(found: Measured, circuit: Circuit, *, balanced: bool) -> Iterator[str]:
    """Edges and sets that are missing, or that there are not."""
    inside = [*circuit.edges()]
    rest = set(circuit.graph.edges) - set(inside)
    sets = [RANDOM_INSIDE] * bool(inside) + [INSIDE_AND_BYSTANDERS] * bool(inside and rest)
    own = [REST, RANDOM_REST, ONE_OF_REST] if rest else []
    own += [INSIDE_AND_BYSTANDERS, *map(in_company, inside)] if rest and inside else []
    measured = [name for name in found.own if name not in rest]  # edges without effect are left out
    for what, names, got in (
        ("inside edges", inside, found.edges),
        ("sets", sets, found.sets),
        ("sets of the rest", own, measured),
    ):
        if wrong := sorted(set(names) ^ set(got)):
            yield f"expected {len(names)} {what}, got {len(got)}, wrong: {', '.join(wrong[:3])}"
    counted = sum(agreement.positions for agreement in found.answers.values())
    if counted != (found.accuracy.positions if balanced else 0):
        yield (
            f"expected the answers of {found.accuracy.positions if balanced else 0} positions, "
            f"got {counted}"
        )
