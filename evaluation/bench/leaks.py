"""Whether certificates find leaks: many are planted, each at a known effect, and looked for.

The true effect is measured apart from certificates: by the hooked twin, one mask for all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.cases.pools import ATOL
from knowncircuits.circuit import Label
from knowncircuits.evaluation.bench.planting import plant_copy, plant_edge
from knowncircuits.models.certificates.measured import Measured, excess_of
from knowncircuits.models.certificates.pairs import CertificatePairs, stratum_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.stratum import measure_stratum
from knowncircuits.models.interop.hooked import HookedTwin, to_hooked
from knowncircuits.models.zoo.shelf import load_model
from knowncircuits.names import POS, Edge, Node

if TYPE_CHECKING:
    import pandas as pd

CASES = ("fraction_of_x", "sine", "increment_odd_positions")
STRATA = ("sampler", "balanced", "skewed", "minimal", "length:3")
SHARES = (0.02, 0.05, 0.1, 0.3)  # of a head that its copy computes
LEAST, MOST = 0.001, 0.003  # of the positions, that a leak along an edge is to change
SEARCHES = 24  # strengths tried


@dataclass(frozen=True)
class Found:
    """A planted leak, and what a stratum of a certificate says of it."""

    kind: str
    case: str
    stratum: str
    leak: str  # its edge, or the heads that share
    strength: float
    effect: float  # the share of positions whose answer it changes, by the hooked twin
    caught: bool
    named: bool


def bench_leaks(
    cases: Sequence[str] = CASES,
    *,
    strata: Sequence[str] = STRATA,
    n_edges: int = 7,
    n_pairs: int = 4_000,
    on_leak: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """Plant leaks into models of zoo 1 and measure them.

    Args:
        cases: whose models; those without norms.
        strata: on which the leaks act and are looked for; those that a model passes with no leak.
        n_edges: leaks along as many edges of each model and stratum.
        n_pairs: of each stratum.
        on_leak: called after each leak.

    Returns:
        A row for each leak with an effect of LEAST or more; the fields of `Found`.
    """
    import pandas as pd

    rows = []
    for case in cases:
        placed = load_model(case, zoo=1).placed
        for stratum in strata:
            pairs = stratum_pairs(placed.compiled, stratum, n_pairs, 0)
            if _measured(placed, pairs).misses:
                continue
            for found in _leaks(placed, pairs, case, stratum, n_edges):
                rows.append(asdict(found))
                on_leak()
    return pd.DataFrame(rows)


def _leaks(
    placed: Placed, pairs: CertificatePairs, case: str, stratum: str, n_edges: int
) -> Iterator[Found]:
    rng = np.random.default_rng([len(case), len(pairs.base)])
    for edge in rng.permutation(_leaky_edges(placed))[:n_edges].tolist():
        label = placed.circuit.label(edge).name.lower()
        seed = int(rng.integers(2**32))
        strength, effect = _strength(placed, pairs, edge, seed)
        if effect >= LEAST:
            measured = _measured(plant_edge(placed, edge, strength, seed), pairs)
            yield _found(label, case, stratum, edge, strength, effect, measured, {edge})
    for head, copy in _copies(placed):
        for share in SHARES:
            leaky = plant_copy(placed, head, copy, share)
            edges = {e for e in leaky.model.graph.edges if copy in e}
            inside = [{str(edge)} for edge in leaky.circuit.edges()]
            effect = _effect(leaky, pairs, edges, inside)
            if effect >= LEAST:
                measured = _measured(leaky, pairs)
                leak = f"{copy} of {head}"
                yield _found("copy", case, stratum, leak, share, effect, measured, edges)


def _found(
    kind: str,
    case: str,
    stratum: str,
    leak: str,
    strength: float,
    effect: float,
    measured: Measured,
    edges: set[str],
) -> Found:
    failing = [name for name, change in measured.own.items() if excess_of(change)]
    named = {*failing}.union(*(measured.blame.get(name, {}) for name in failing))
    return Found(kind, case, stratum, leak, strength, effect, bool(failing), bool(named & edges))


def _leaky_edges(placed: Placed) -> list[str]:
    """Edges that are not inside, of a source that varies, into a part that the answer reads."""
    circuit = placed.circuit
    read = {edge.target for edge in circuit.edges()}
    return [
        edge
        for edge in circuit.graph.edges
        if circuit.label(edge) != Label.IN
        and Edge(edge).source != POS
        and Edge(edge).target in read
    ]


def _copies(placed: Placed) -> Iterator[tuple[str, str]]:
    """Heads of the circuit, each with a head of its layer that is not in it."""
    used = set(placed.correspondence.nodes.values())
    for name in used:
        node = Node(name)
        if node.kind == "head":
            others = (f"a{node.layer}.h{i}" for i in range(placed.model.config.n_heads))
            if free := next((other for other in others if other not in used), None):
                yield name, free


def _measured(placed: Placed, pairs: CertificatePairs) -> Measured:
    return measure_stratum(
        placed,
        pairs,
        np.random.default_rng(0),
        n_company=len(pairs.base) // 2,
        by_answer=False,
        atol=ATOL,
    )


def _strength(placed: Placed, pairs: CertificatePairs, edge: str, seed: int) -> tuple[float, float]:
    """How strong a leak has to be to change so many answers as it is to, and how many it does."""
    strength, low, high = 0.1, 0.0, float("inf")
    effect = 0.0
    for _ in range(SEARCHES):
        leaky = plant_edge(placed, edge, strength, seed)
        effect = _effect(leaky, pairs, {edge})
        if LEAST <= effect <= MOST:
            break
        low, high = (strength, high) if effect < LEAST else (low, strength)
        strength = 2 * low if high == float("inf") else (low + high) / 2
    return strength, effect


def _effect(
    placed: Placed, pairs: CertificatePairs, edges: set[str], company: Sequence[set[str]] = ()
) -> float:
    """The share of positions whose answer edges change, by hooks.

    The largest that they have alone or beside any of these sets of inside edges.
    """
    twin, effects = to_hooked(placed.model), []
    with torch.no_grad():
        source = twin.run(pairs.source).outputs
        for inside in (set[str](), *company):
            with_it, without = (
                _answers(placed, twin, pairs.base, source, patched)
                for patched in (inside | edges, inside)
            )
            if placed.compiled.output.numerical:
                changed = (with_it - without).abs() > ATOL
            else:
                changed = with_it != without
            effects.append(float(changed.double().mean()))
    return max(effects)


def _answers(
    placed: Placed, twin: HookedTwin, base: Tensor, source: Tensor, edges: set[str]
) -> Float[Tensor, "pair pos"]:
    mask = torch.zeros(1, twin.graph.n_edges, dtype=twin.W_E.dtype)
    mask[0, [twin.graph.index(edge) for edge in edges]] = 1
    logits = twin.run(base, source, mask).logits[:, 1:]
    return logits[..., 0] if placed.compiled.output.numerical else logits.argmax(-1).to(source)
