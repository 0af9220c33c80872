"""The certificate's quick form, on few pairs: what validation during training looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.cases.case import Case
from knowncircuits.cases.pools import ATOL
from knowncircuits.cases.strata import BALANCED, strata_of
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.models.certificates.agreement import Agreement, measure, worst
from knowncircuits.models.certificates.chance import is_missed
from knowncircuits.models.certificates.measured import Measured
from knowncircuits.models.certificates.pairs import CertificatePairs, stratum_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sets import (
    NOTHING,
    edge_set,
    one_outside,
    outside_set,
    random_sets,
)
from knowncircuits.models.certificates.stratum import measure_stratum
from knowncircuits.models.certificates.thresholds import (
    ACCURACY,
    EVERY_EDGE,
    misses,
    set_checks,
    unused,
)

FALSE_ALARM = 0.02  # of calling a stratum's threshold missed that is just reached
IN_COMPANY = 4  # each inside edge is patched with bystanders on one pair of so many


@dataclass(frozen=True)
class QuickAgreement:
    """What is measured on few pairs, by the certificate's thresholds."""

    accuracy: Agreement
    inside: Mapping[str, Agreement]  # each inside edge
    sets: Mapping[str, Agreement]  # all outside at once; another outside edge or set in each pair
    strata: Mapping[str, Measured] = field(default_factory=dict)  # up to the first that is missed

    @property
    def worst_inside(self) -> tuple[str, float]:
        """The inside edge of least agreement; none: ("", 1)."""
        return worst(self.inside)

    @property
    def failures(self) -> tuple[str, ...]:
        """Each threshold of the certificate that is missed on these pairs."""
        strata = (f"stratum {s}: {miss}" for s, a in self.strata.items() for miss in a.misses)
        return (*self._failures_beside_strata, *strata)

    @property
    def _failures_beside_strata(self) -> tuple[str, ...]:
        checks = [("accuracy", self.accuracy, ACCURACY)]
        checks += [(f"inside edge {edge}", a, EVERY_EDGE) for edge, a in self.inside.items()]
        return (*misses([*checks, *set_checks(self.sets)]), *unused(self.inside))

    @property
    def passed(self) -> bool:
        """Whether none is missed."""
        return not self.failures

    @property
    def promising(self) -> bool:
        """Whether none is missed, but for misses in strata that chance explains.

        They have many checks and few pairs: one wrong position in a thousand is a miss there.
        """
        return not (self._failures_beside_strata or any(map(_is_missed, self.strata.values())))


def _is_missed(stratum: Measured) -> bool:
    """Whether a threshold is missed by more than chance explains."""
    return any(is_missed(found, share, FALSE_ALARM) for _, found, share in stratum.checks)


def quick_agreement(
    placed: Placed,
    base: Int[Tensor, "pair pos"],
    source: Int[Tensor, "pair pos"],
    generator: torch.Generator,
    *,
    strata: Mapping[str, CertificatePairs] | None = None,
    atol: float = ATOL,
) -> QuickAgreement:
    """The certificate's quick form: inside edges one by one, outside edges dealt out over pairs.

    Strata take several times as long as the rest. So they are measured where the rest passes, up to
    the first that is missed by more than chance: with it a model is not `promising`.

    Args:
        placed: the models, and which low-level edge stands for which compiled one.
        base: ids to run on, BOS first.
        source: ids of the runs that edges read instead.
        generator: of the random sets.
        strata: pairs of the strata to measure as well; see `strata_pairs`.
        atol: how far numbers may differ and be equal.
    """
    graph, n = placed.model.graph, len(base)
    drawn = torch.randint(2**31, (1,), generator=generator, device=generator.device)
    rng = np.random.default_rng(int(drawn))
    inside = {e: edge_set(graph, [graph.index(e)]) for e in placed.circuit.edges()}
    circuit = placed.circuit
    sets = outside_set(circuit) | random_sets(circuit, n, rng) | one_outside(circuit, n, rng)
    everything = {NOTHING: edge_set(graph, []), **inside, **sets}
    found = measure(placed, base, source, everything, atol=atol)
    agreement = QuickAgreement(
        found[NOTHING],
        {edge: found[edge] for edge in inside},
        {name: found[name] for name in sets},
    )
    if not (strata and agreement.passed):
        return agreement
    measured: dict[str, Measured] = {}
    for name, pairs in strata.items():
        measured[name] = measure_stratum(
            placed,
            pairs,
            rng,
            n_company=max(1, len(pairs.base) // IN_COMPANY),
            by_answer=name == BALANCED,
            by_source=False,  # on few pairs what one source changes is chance
            atol=atol,
            n_blamed=0,
        )
        if _is_missed(measured[name]):
            break
    return replace(agreement, strata=measured)


def strata_pairs(
    compiled: Compiled, n_pairs: int, seed: int, strata: Sequence[str] | None = None
) -> dict[str, CertificatePairs]:
    """`n_pairs` pairs of test inputs for each stratum of a compiled case, or for some strata."""
    if strata is None:
        strata = strata_of(compiled.case) if isinstance(compiled.case, Case) else ()
    return {name: stratum_pairs(compiled, name, n_pairs, seed) for name in strata}


def accuracy_alone(
    placed: Placed,
    tokens: Int[Tensor, "input pos"],
    *,
    atol: float = ATOL,
) -> QuickAgreement:
    """The quick form for a model that need not have the circuit: nothing is patched."""
    nothing = {NOTHING: edge_set(placed.model.graph, [])}
    found = measure(placed, tokens, tokens, nothing, atol=atol)
    return QuickAgreement(found[NOTHING], {}, {})
