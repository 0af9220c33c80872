"""Whether certificates find leaks: many are planted, each at a known effect, and looked for.

The true effect is measured apart from certificates, by the hooked twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from knowncircuits.cases.case import Case
from knowncircuits.cases.pools import ATOL
from knowncircuits.cases.strata import SAMPLER, strata_of
from knowncircuits.evaluation.bench.leak_kinds import Ground, Leak
from knowncircuits.evaluation.bench.true_effects import LEAST, TrueEffects, tune
from knowncircuits.models.certificates.measured import Measured, excess_of
from knowncircuits.models.certificates.pairs import CertificatePairs, stratum_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.stratum import measure_stratum
from knowncircuits.models.certificates.thresholds import EVERY_EDGE, OWN
from knowncircuits.models.choices import ZooVersion

if TYPE_CHECKING:
    import pandas as pd

# Small models of which some allow each kind.
CASES: Mapping[ZooVersion, Sequence[str]] = {
    1: (
        "fraction_of_x",
        "open_minus_close_fraction",
        "insert_zeros",
        "sum_of_last_two",
        "increment_odd_positions",
    ),
    2: ("maximum_with_previous", "drop_repeated_neighbour"),
}
STRATA = ("sampler", "balanced", "skewed", "minimal", "length:3")


@dataclass(frozen=True)
class Found:
    """A planted leak, and what a stratum of a certificate says of it."""

    kind: str
    label: str  # of its edges
    model: str
    stratum: str
    leak: str  # its edges, or the heads that share
    strength: float
    effect: float  # the share of positions whose answer it changes, by the hooked twin
    unseen: str  # where it has to have no effect, for its kind; ...
    elsewhere: float  # ... and that which it has there
    caught: bool
    named: bool


def bench_leaks(
    models: Mapping[str, Placed],
    *,
    strata: Sequence[str] = STRATA,
    n_leaks: int = 1,
    n_pairs: int = 500,
    on_leak: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """Plant leaks into models and measure them.

    Args:
        models: by name.
        strata: on which the leaks act and are looked for; those of a model's case that it passes
            with no leak.
        n_leaks: so many of each kind and label, for each model and stratum; SELDOM times as many
            of kinds that few allow.
        n_pairs: of each stratum.
        on_leak: called after each leak.

    Returns:
        A row for each leak with an effect of LEAST or more; the fields of `Found`.
    """
    import pandas as pd

    rows = []
    for name, placed in models.items():
        for ground in _grounds(placed, strata, n_leaks, n_pairs):
            for leak in ground.leaks():
                for found in _found(name, ground, leak):
                    rows.append(asdict(found))
                    on_leak()
    return pd.DataFrame(rows, columns=[field.name for field in fields(Found)])


def count_leaks(found: pd.DataFrame) -> pd.DataFrame:
    """How many leaks of each kind and label were planted, caught and named, and their effects."""
    table = found.groupby(["kind", "label"], sort=False).agg(
        planted=("caught", "size"),
        caught=("caught", "sum"),
        named=("named", "sum"),
        least=("effect", "min"),
        median=("effect", "median"),
        most=("effect", "max"),
        unseen=("unseen", "first"),
        elsewhere=("elsewhere", "max"),
    )
    return table.reset_index()


def _grounds(placed: Placed, strata: Sequence[str], n_leaks: int, n_pairs: int) -> Iterator[Ground]:
    case = placed.compiled.case
    there = strata_of(case) if isinstance(case, Case) else (SAMPLER,)
    sampled = stratum_pairs(placed.compiled, SAMPLER, n_pairs, 0)
    for stratum in strata:
        if stratum in there:
            pairs = stratum_pairs(placed.compiled, stratum, n_pairs, 0)
            if not _measured(placed, pairs).misses:
                rng = np.random.default_rng(crc32(stratum.encode()))
                yield Ground(placed, stratum, pairs, sampled, n_leaks, rng)


def _found(model: str, ground: Ground, leak: Leak) -> Iterator[Found]:
    """The leak as it was planted and measured; none where it has too little effect, or is seen."""
    for strength, effect in _tuned(ground, leak):
        if effect < LEAST:
            continue
        leaky = leak.plant(strength)
        elsewhere = _elsewhere(ground, leak, leaky)
        limit = 1 - EVERY_EDGE if leak.unseen == "compiled" else OWN
        if leak.unseen and elsewhere > limit:
            continue
        measured = _measured(leaky, ground.pairs)
        failing = [name for name, change in measured.own.items() if excess_of(change)]
        named = {*failing}.union(*(measured.blame.get(name, {}) for name in failing))
        yield Found(
            kind=leak.kind,
            label=leak.label,
            model=model,
            stratum=ground.stratum,
            leak=leak.name,
            strength=strength,
            effect=effect,
            unseen=leak.unseen,
            elsewhere=elsewhere,
            caught=bool(failing),
            named=bool(named.intersection(leak.edges)),
        )


def _tuned(ground: Ground, leak: Leak) -> list[tuple[float, float]]:
    """The strengths to plant a leak at, each with its effect."""
    inside = [(str(edge),) for edge in ground.placed.circuit.edges()]
    company = [(), *inside] if leak.in_company else [()]

    def effect_of(strength: float, *, hooked: bool) -> float:
        effects = TrueEffects(leak.plant(strength), ground.pairs, hooked=hooked)
        return effects.effect(leak.patched, company)

    strengths = leak.strengths or [tune(partial(effect_of, hooked=False))]
    return [(s, effect_of(s, hooked=True)) for s in strengths if s]


def _elsewhere(ground: Ground, leak: Leak, leaky: Placed) -> float:
    """A leak's effect where it is to have none; 0 where there is no such place."""
    if leak.unseen == "sampler":
        return TrueEffects(leaky, ground.sampled).effect(leak.patched)
    effects = TrueEffects(leaky, ground.pairs)
    if leak.unseen == "alone":
        return effects.effect(leak.patched)
    if leak.unseen == "compiled":
        return effects.wrong(leak.patched)
    return effects.effect_where_said(leak.patched) if leak.unseen == "said" else 0.0


def _measured(placed: Placed, pairs: CertificatePairs) -> Measured:
    return measure_stratum(
        placed,
        pairs,
        np.random.default_rng(0),
        n_company=len(pairs.base),
        by_answer=False,
        atol=ATOL,
    )
