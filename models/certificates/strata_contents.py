"""What a certificate's strata must hold, worked out anew from the case."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from knowncircuits.cases.case import Case
from knowncircuits.cases.strata import BALANCED, length_of, strata_of
from knowncircuits.circuit import Circuit
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.measured import Measured
from knowncircuits.models.certificates.pairs import (
    ALL_PAIRS,
    n_in_company,
    n_of_stratum,
    stratum_pairs,
)
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.possible import is_possible, is_possible_change
from knowncircuits.models.certificates.sets import (
    INSIDE_AND_BYSTANDERS,
    ONE_OF_REST,
    RANDOM_INSIDE,
    RANDOM_REST,
    REST,
    in_company,
    rest_of,
)


def wrong_strata(
    certificate: Certificate, placed: Placed, drawn: Collection[str] | None = None
) -> Iterator[str]:
    """Everything in a certificate's strata that is not what `certify` would have put there.

    The pairs of some strata are drawn again to compare them, by default those of all.
    """
    case = placed.compiled.case
    expected = strata_of(case) if isinstance(case, Case) else ()
    if tuple(certificate.strata) != expected:
        yield (
            f"expected the strata {', '.join(expected)} in the certificate, got "
            f"{', '.join(certificate.strata) or 'none'}"
        )
    for name in expected:
        if (found := certificate.strata.get(name)) is not None:
            again = drawn is None or name in drawn
            problems = [
                *_wrong_number(found, certificate, name),
                *(_wrong_pairs(found, certificate, placed.compiled, name) if again else ()),
                *_wrong_counts(found, placed, name),
                *_wrong_names(found, placed.circuit, balanced=name == BALANCED),
            ]
            yield from (f"stratum {name}: {problem}" for problem in problems)


def _wrong_number(found: Measured, certificate: Certificate, name: str) -> Iterator[str]:
    """More pairs than are measured of a stratum, or fewer though there are more."""
    n_pairs = n_of_stratum(name, certificate.n_pairs, enumerated=certificate.enumerated)
    n = found.n_pairs if found.inputs == ALL_PAIRS and found.n_pairs < n_pairs else n_pairs
    expected = n, n_in_company(n, certificate.n_pairs)
    if expected != (found.n_pairs, found.n_company):
        yield "expected {} pairs, {} in company, got {} and {}".format(
            *expected, found.n_pairs, found.n_company
        )


def _wrong_pairs(
    found: Measured, certificate: Certificate, compiled: Compiled, name: str
) -> Iterator[str]:
    """Pairs that are not those that case, number and seed give."""
    n_pairs = n_of_stratum(name, certificate.n_pairs, enumerated=certificate.enumerated)
    pairs = stratum_pairs(compiled, name, n_pairs, certificate.seed)
    expected = pairs.inputs, len(pairs.base), pairs.n_inputs, pairs.n_beyond
    got = found.inputs, found.n_pairs, found.n_inputs, found.n_beyond
    if expected != got:
        yield f"expected pairs of {expected}, got {got}"


def _wrong_counts(found: Measured, placed: Placed, name: str) -> Iterator[str]:
    """Counts that no measurement of so many pairs gives."""
    case, sources = placed.compiled.case, rest_of(placed.circuit)
    assert isinstance(case, Case)
    n, length = found.n_pairs, length_of(case, name)
    agreements = {"accuracy": found.accuracy, **found.answers, **found.edges, **found.sets}
    for what, agreement in agreements.items():
        if not is_possible(agreement, n, length):
            yield f"{what}: expected counts of {n} pairs, got {agreement}"
    for what, change in found.own.items():
        few = what.endswith(in_company("")) and what != INSIDE_AND_BYSTANDERS
        n_of = found.n_company if few or what in sources else n
        if not is_possible_change(change, n_of, length):
            yield f"own answers under {what}: expected counts of {n_of} pairs, got {change}"


def _wrong_names(found: Measured, circuit: Circuit, *, balanced: bool) -> Iterator[str]:
    """Edges and sets that are missing, or that there are not."""
    inside = [*circuit.edges()]
    rest = set(circuit.graph.edges) - set(inside)
    sets = [RANDOM_INSIDE] * bool(inside) + [INSIDE_AND_BYSTANDERS] * bool(inside and rest)
    own = [REST, RANDOM_REST, ONE_OF_REST, *rest_of(circuit)] if rest else []
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
