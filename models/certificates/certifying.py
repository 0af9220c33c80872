"""The certificate of a trained model: every edge measured against the compiled model's.

An edge is in the circuit because its interchange changes the compiled model's answers and the
trained model follows, out because it changes neither. `certify` measures that for each edge, each
node, all outside edges at once and random sets; `Certificate.failures` names what falls short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.cases.pools import ATOL
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.agreement import (
    ABLATIONS,
    BATCH,
    Ablation,
    Agreement,
    measure,
    worst,
)
from knowncircuits.models.certificates.certificate import Certificate, label_names
from knowncircuits.models.certificates.identity import identity
from knowncircuits.models.certificates.pairs import MAX_PAIRS, certificate_pairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sets import (
    NOTHING,
    edge_set,
    one_outside,
    outside_set,
    random_sets,
)
from knowncircuits.models.certificates.thresholds import (
    ACCURACY,
    EVERY_EDGE,
    misses,
    set_checks,
    unused,
)
from knowncircuits.work.progress import part, report


@takes(placed=Placed)
def certify(
    placed: Placed,
    *,
    n_pairs: int = 20_000,
    seed: int = 0,
    edges: Sequence[str] | None = None,
    ablations: Sequence[Ablation] = ABLATIONS,
    atol: float = ATOL,
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
        atol: how far numbers may differ and be equal.
        batch_size: pairs at a time.
        progress: called with the pairs that are done and with all, each ablation counted.

    Raises:
        ModelError: for numbers out of range, or ablations that there are not.
        GraphError: for an unknown edge.
    """
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
    graph, compiled = placed.model.graph, placed.compiled
    pairs = certificate_pairs(compiled, n_pairs, seed)
    total = len(pairs.base)
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
        report(done, total * len(ablations))
        if progress:
            progress(done, total * len(ablations))

    with part(f"certificate of {compiled.name}"):
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
        n_inputs=len(np.unique(torch.cat([pairs.base, pairs.source]).cpu().numpy(), axis=0)),
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
    )


@dataclass(frozen=True)
class QuickAgreement:
    """The certificate's quick form, on few pairs: what validation during training looks at."""

    accuracy: Agreement
    inside: Mapping[str, Agreement]  # each inside edge
    sets: Mapping[str, Agreement]  # all outside at once; another outside edge or set in each pair

    @property
    def worst_inside(self) -> tuple[str, float]:
        """The inside edge of least agreement; none: ("", 1)."""
        return worst(self.inside)

    @property
    def failures(self) -> tuple[str, ...]:
        """Each threshold of the certificate that is missed on these pairs."""
        checks = [("accuracy", self.accuracy, ACCURACY)]
        checks += [(f"inside edge {edge}", a, EVERY_EDGE) for edge, a in self.inside.items()]
        return (*misses([*checks, *set_checks(self.sets)]), *unused(self.inside))

    @property
    def passed(self) -> bool:
        """Whether none is missed."""
        return not self.failures


def quick_agreement(
    placed: Placed,
    base: Int[Tensor, "pair pos"],
    source: Int[Tensor, "pair pos"],
    generator: torch.Generator,
    *,
    atol: float = ATOL,
) -> QuickAgreement:
    """The certificate's quick form: inside edges one by one, outside edges dealt out over pairs.

    Args:
        placed: the models, and which low-level edge stands for which compiled one.
        base: ids to run on, BOS first.
        source: ids of the runs that edges read instead.
        generator: of the random sets.
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
    return QuickAgreement(
        found[NOTHING], {edge: found[edge] for edge in inside}, {name: found[name] for name in sets}
    )


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
