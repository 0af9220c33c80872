"""The certificate of a trained model: every edge measured against the compiled model's.

An edge is in the circuit because its interchange changes the compiled model's answers and the
trained model follows, out because it changes neither. `certify` measures that for each edge, each
node, all outside edges at once and random sets; `Certificate.failures` names what falls short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np
import torch

from knowncircuits.cases.case import Case
from knowncircuits.cases.pools import ATOL
from knowncircuits.cases.strata import BALANCED, strata_of
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import MissedError, ModelError
from knowncircuits.models.certificates.agreement import (
    ABLATIONS,
    BATCH,
    Ablation,
    Agreement,
    measure,
)
from knowncircuits.models.certificates.certificate import Certificate, label_names
from knowncircuits.models.certificates.identity import identity
from knowncircuits.models.certificates.pairs import (
    ALL_PAIRS,
    MAX_PAIRS,
    certificate_pairs,
    n_in_company,
    n_of_stratum,
    stratum_pairs,
)
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sets import (
    NOTHING,
    edge_set,
    outside_set,
    random_sets,
)
from knowncircuits.models.certificates.stratum import measure_stratum
from knowncircuits.work.progress import part, report


@takes(placed=Placed)
def certify(
    placed: Placed,
    *,
    n_pairs: int = 20_000,
    seed: int = 0,
    edges: Sequence[str] | None = None,
    ablations: Sequence[Ablation] = ABLATIONS,
    strata: Sequence[str] | None = None,
    atol: float = ATOL,
    until_missed: bool = False,
    batch_size: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Certificate:
    """Measure a low-level model's circuit against the compiled model's, edge by edge.

    Args:
        placed: the models, and which low-level edge stands for which compiled one.
        n_pairs: how many pairs of inputs. All pairs, where there are no more. Else pairs of test
            inputs; where there are too few of these, different pairs of all inputs.
        seed: of the pairs and of the random sets.
        edges: those to measure; a certificate of fewer than all never passes.
        ablations: `resample`, which the certificate is about, and those to be reported beside it.
        strata: those of the case to measure beside the sampler's pairs; by default all, and of a
            program that is no case none.
        atol: how far numbers may differ and be equal.
        until_missed: give up after the first stratum on which a threshold is missed.
        batch_size: pairs at a time.
        progress: called with the pairs that are done and with all, each ablation and stratum
            counted.

    Raises:
        ModelError: for numbers out of range, or ablations that there are not.
        GraphError: for an unknown edge.
        UnknownNameError: for an unknown stratum.
        MissedError: after a stratum on which one is, if that was asked for.
    """
    _check(n_pairs, seed, edges, ablations, atol, batch_size)
    graph, compiled = placed.model.graph, placed.compiled
    pairs = certificate_pairs(compiled, n_pairs, seed)
    total = len(pairs.base)
    if strata is None:
        strata = strata_of(compiled.case) if isinstance(compiled.case, Case) else ()
    enumerated = pairs.inputs == ALL_PAIRS
    pairs_of = {
        name: stratum_pairs(compiled, name, n_of_stratum(name, total, enumerated=enumerated), seed)
        for name in strata
    }
    n_steps = total * len(ablations) + sum(len(drawn.base) for drawn in pairs_of.values())
    rng = np.random.default_rng([seed, total])
    measured = graph.edges if edges is None else edges
    single = {str(edge): edge_set(graph, [graph.index(edge)]) for edge in measured}
    is_inside = placed.correspondence.inside
    inside = {edge: rows for edge, rows in single.items() if is_inside[graph.index(edge)]}
    nodes = {str(node): edge_set(graph, graph.edges_from(node)) for node in graph.sources}
    sets = outside_set(placed.circuit) | random_sets(placed.circuit, total, rng)
    everything = {NOTHING: edge_set(graph, []), **single, **nodes, **sets}
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        report(done, n_steps)
        if progress:
            progress(done, n_steps)

    with part(f"certificate of {compiled.name}"):
        # What is missed is seen soonest on the smallest ones.
        places = {name: i for i, name in enumerate(pairs_of)}
        on_strata = {}
        for name, drawn in sorted(pairs_of.items(), key=lambda item: len(item[1].base)):
            on_strata[name] = measure_stratum(
                placed,
                drawn,
                np.random.default_rng([seed, places[name]]),
                n_company=n_in_company(len(drawn.base), total),
                by_answer=name == BALANCED,
                atol=atol,
                batch_size=batch_size,
                progress=advance,
            )
            if until_missed and (missed := on_strata[name].misses):
                raise MissedError(name, missed[0])
        found: dict[str, dict[str, Agreement]] = {
            kind: measure(
                placed,
                pairs.base,
                pairs.source,
                everything if kind == "resample" else outside_set(placed.circuit) | inside,
                ablation=kind,
                atol=atol,
                batch_size=batch_size,
                progress=advance,
            )
            for kind in ablations
        }
    main = found.pop("resample")
    return Certificate(
        case=compiled.name,
        inputs=pairs.inputs,
        n_pairs=total,
        n_inputs=pairs.n_inputs,
        seed=seed,
        atol=atol,
        **identity(placed),
        versions={"knowncircuits": version("knowncircuits"), "torch": str(torch.__version__)},
        labels=label_names(placed.circuit),
        accuracy=main[NOTHING],
        edges={edge: main[edge] for edge in single},
        nodes={node: main[node] for node in nodes},
        sets={name: main[name] for name in sets},
        ablations=found,
        strata={name: on_strata[name] for name in pairs_of},
    )


def _check(
    n_pairs: int,
    seed: int,
    edges: Sequence[str] | None,
    ablations: Sequence[Ablation],
    atol: float,
    batch_size: int,
) -> None:
    """Raise ModelError, with expected and got, for what `certify` cannot take."""
    if not 1 <= n_pairs <= MAX_PAIRS:
        raise ModelError(f"expected at least one pair and at most {MAX_PAIRS}, got {n_pairs}")
    if seed < 0 or batch_size < 1:
        raise ModelError(
            f"expected a seed of at least 0 and a batch of at least 1, got {seed} and {batch_size}"
        )
    if isinstance(edges, str):
        raise ModelError(f"expected several edges, got the text {edges!r}")
    if not 0 <= atol < float("inf"):
        raise ModelError(f"expected a tolerance of at least 0, got {atol}")
    if "resample" not in ablations or not set(ablations) <= set(ABLATIONS):
        raise ModelError(
            f"expected resample and perhaps mean and zero ablation, got {', '.join(ablations)}"
        )
