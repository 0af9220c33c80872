"""The certificate of a trained model: every edge measured against the compiled model's.

An edge is in the circuit because its interchange changes the compiled model's answers and the
trained model follows, out because it changes neither. `certify` measures that for each edge, each
node, all outside edges at once and random sets; `Certificate.failures` names what falls short.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field, TypeAdapter
from torch import Tensor

from knowncircuits.cases.case import Case
from knowncircuits.cases.pairs import draw_pairs, resample
from knowncircuits.cases.sampling import enumerate_inputs, most_inputs
from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError, ResultError
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import write_text
from knowncircuits.graph import Graph
from knowncircuits.models.certificates.agreement import (
    ATOL,
    BATCH,
    Ablation,
    Agreement,
    Sets,
    measure,
)
from knowncircuits.models.certificates.identity import identity
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.rasp.meant import ProgramInputs
from knowncircuits.work.progress import part, report

# What a model has to reach, as shares of positions at which the two models agree.
ACCURACY = 0.999
EVERY_EDGE = 0.999  # each inside and each outside edge on its own
ALL_OUTSIDE = 0.995  # all outside edges at once
RANDOM_SETS = 0.995
# Changes of the compiled model's answers from which on an inside edge that changes none of the
# low-level model's is unused. Where an edge decides only whether there is an answer at all, the
# positions that count can agree without it.
FEWEST_CHANGES = 20

ABLATIONS: tuple[Ablation, ...] = ("resample", "mean", "zero")
RANDOM = ("random inside", "random outside", "random mixed")
# Names of sets of edges beside the edges' and the nodes'.
NOTHING, OUTSIDE, ONE_OUTSIDE = "nothing", "outside", "one outside"

MAX_PAIRS = 1_000_000  # of a certificate

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
LabelName = Literal["in", "out", "undetermined"]
Inputs = Literal["all pairs", "a sample of all pairs", "test inputs", "drawn inputs"]
Group = dict[str, Sets]


@dataclass(frozen=True)
class Certificate:
    """What was measured of a low-level model against a compiled one; it holds for these weights."""

    case: str
    inputs: Inputs  # what the pairs were taken from
    n_pairs: Annotated[int, Field(ge=1, le=MAX_PAIRS)]
    n_inputs: Annotated[int, Field(ge=1)]  # different ones
    seed: Annotated[int, Field(ge=0)]
    atol: Annotated[
        float, Field(ge=0, allow_inf_nan=False)
    ]  # how far numbers may differ and be equal
    # SHA-256 of what was measured; see `knowncircuits.models.certificates.identity`.
    weights: Digest
    configuration: Digest  # of the low-level model: its sizes and choices
    placement: Digest  # which of its nodes stands for which compiled one
    circuit: Digest  # every edge's label and what it carries
    compiled_weights: Digest
    versions: Mapping[str, str]
    labels: Mapping[str, LabelName]  # every edge of the low-level graph: in, out or undetermined
    accuracy: Agreement  # no edge patched
    edges: Mapping[str, Agreement]
    nodes: Mapping[str, Agreement]  # all edges out of a node at once
    sets: Mapping[str, Agreement]  # all outside edges at once; random sets, another for each pair
    # For mean and zero ablation all outside edges at once, and each inside edge. Reported only:
    # labels hold for resampling, under which the model was trained.
    ablations: Mapping[str, Mapping[str, Agreement]]

    @property
    def enumerated(self) -> bool:
        """Whether the pairs were all that there are, so that shares are exact."""
        return self.inputs == "all pairs"

    @property
    def largest_outside_effect(self) -> tuple[str, float]:
        """The outside edge that changes most answers of the low-level model; none: ("", 0)."""
        effects = {edge: found.low_effect for edge, found in self._labelled("out")}
        return max(effects.items(), key=lambda item: item[1], default=("", 0.0))

    @property
    def smallest_inside_effect(self) -> tuple[str, float]:
        """The inside edge that changes fewest answers of the low-level model; none: ("", 0)."""
        effects = {edge: found.low_effect for edge, found in self._labelled("in")}
        return min(effects.items(), key=lambda item: item[1], default=("", 0.0))

    @property
    def failures(self) -> tuple[str, ...]:
        """Each threshold that is missed, with what was reached, and what was not measured."""
        missing = [e for e, label in self.labels.items() if label != "undetermined"]
        missing = [edge for edge in missing if edge not in self.edges]
        unmeasured = [f"not measured: {', '.join(missing)}"] if missing else []
        return (*unmeasured, *self.misses)

    @property
    def misses(self) -> tuple[str, ...]:
        """Each threshold that is missed by what was measured."""
        checks = [("accuracy", self.accuracy, ACCURACY)]
        for side, label in (("inside", "in"), ("outside", "out")):
            checks += [(f"{side} edge {e}", a, EVERY_EDGE) for e, a in self._labelled(label)]
        unused = _unused(dict(self._labelled("in")))
        return (*_misses([*checks, *_set_checks(self.sets)]), *unused)

    @property
    def passed(self) -> bool:
        """Whether the circuit is certified."""
        return not self.failures

    def _labelled(self, label: str) -> Iterator[tuple[str, Agreement]]:
        return ((edge, a) for edge, a in self.edges.items() if self.labels[edge] == label)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with what follows from the counts for those who read it."""
        outside, inside = self.largest_outside_effect, self.smallest_inside_effect
        derived: dict[str, Any] = {
            "case": self.case,
            "passed": self.passed,
            "failures": list(self.failures),
            "largest_outside_effect": dict(zip(("edge", "effect"), outside, strict=True)),
            "smallest_inside_effect": dict(zip(("edge", "effect"), inside, strict=True)),
        }
        return {**derived, **SCHEMA.dump_python(self)}

    def write(self, path: str | Path) -> None:
        """Write JSON whole or not at all; raises ResultError if that fails."""
        write_text(path, json.dumps(self.to_dict(), allow_nan=False) + "\n")


SCHEMA = TypeAdapter(Certificate)


@dataclass(frozen=True)
class QuickAgreement:
    """The certificate's quick form, on few pairs: what validation during training looks at."""

    accuracy: Agreement
    inside: Mapping[str, Agreement]  # each inside edge
    sets: Mapping[str, Agreement]  # all outside at once; another outside edge or set in each pair

    @property
    def worst_inside(self) -> tuple[str, float]:
        """The inside edge of least agreement; none: ("", 1)."""
        shares = {edge: found.share for edge, found in self.inside.items()}
        return min(shares.items(), key=lambda item: item[1], default=("", 1.0))

    @property
    def failures(self) -> tuple[str, ...]:
        """Each threshold of the certificate that is missed on these pairs."""
        checks = [("accuracy", self.accuracy, ACCURACY)]
        checks += [(f"inside edge {edge}", a, EVERY_EDGE) for edge, a in self.inside.items()]
        return (*_misses([*checks, *_set_checks(self.sets)]), *_unused(self.inside))

    @property
    def passed(self) -> bool:
        """Whether none is missed."""
        return not self.failures


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
        ModelError: for a number of pairs or ablations that there are not.
        GraphError: for an unknown edge.
    """
    if not 1 <= n_pairs <= MAX_PAIRS:
        raise ModelError(f"expected at least one pair and at most {MAX_PAIRS}, got {n_pairs}")
    if "resample" not in ablations or not set(ablations) <= set(ABLATIONS):
        raise ModelError(
            f"expected resample and perhaps mean and zero ablation, got {', '.join(ablations)}"
        )
    graph, compiled = placed.model.graph, placed.compiled
    pairs = certificate_pairs(compiled, n_pairs, seed)
    total = len(pairs.base)
    rng = np.random.default_rng([seed, total])
    single = {edge: edge_set(graph, [graph.index(edge)]) for edge in edges or graph.edges}
    is_inside = placed.correspondence.inside
    inside = {edge: rows for edge, rows in single.items() if is_inside[graph.index(edge)]}
    nodes = {node: edge_set(graph, graph.edges_from(node)) for node in graph.sources}
    sets = _outside(placed.circuit) | _random_sets(placed.circuit, total, rng)
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
                everything if kind == "resample" else _outside(placed.circuit) | inside,
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
    sets = _outside(placed.circuit) | _random_sets(placed.circuit, n, rng)
    outside = np.flatnonzero(placed.circuit.labels == Label.OUT)
    if len(outside):
        dealt = np.zeros((n, graph.n_edges), dtype=bool)
        dealt[np.arange(n), np.resize(rng.permutation(outside), n)] = True
        sets[ONE_OUTSIDE] = dealt
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


@takes(path=str | Path)
def read_certificate(path: str | Path) -> Certificate:
    """Read what `Certificate.write` wrote; what follows from the counts is computed anew.

    Raises ResultError if that cannot be done.
    """
    try:
        found = read_as(SCHEMA, path, "a certificate")
        if unknown := set(found.edges) - set(found.labels):
            raise ResultError(f"{path}: expected a certificate, got no label of {min(unknown)}")
    except ResultError as error:
        raise ResultError(f"{error}; `knowncircuits certify` makes a new one") from error
    return found


@dataclass(frozen=True, eq=False)
class CertificatePairs:
    """What a certificate is measured on."""

    base: Int[Tensor, "pair pos"]
    source: Int[Tensor, "pair pos"]
    inputs: Inputs


def certificate_pairs(compiled: Compiled, n_pairs: int, seed: int) -> CertificatePairs:
    """Ordered pairs of different inputs, of the greatest length."""
    n_tokens, length = len(compiled.vocabulary.tokens), compiled.vocabulary.max_len
    n_inputs, n_tests = (most_inputs(n_tokens, length, split) for split in (None, "test"))
    n_all = n_inputs * (n_inputs - 1)
    if n_pairs < 1 or not n_all:
        raise ModelError(f"expected at least one pair and two inputs, got {n_pairs}, {n_inputs}")
    may_list = isinstance(compiled.case, Case | ProgramInputs)
    inputs: Inputs
    if may_list and (n_all <= n_pairs or n_tests * (n_tests - 1) < n_pairs):
        inputs, chosen = "all pairs", np.arange(n_all)
        if n_all > n_pairs:
            rng = np.random.default_rng(seed)
            inputs, chosen = "a sample of all pairs", rng.choice(n_all, n_pairs, replace=False)
        first, second = np.divmod(chosen, n_inputs - 1)
        every = enumerate_inputs(n_tokens, length)
        codes = every[first], every[second + (second >= first)]
    else:
        if isinstance(compiled.case, Case):
            inputs, drawn = "test inputs", draw_pairs(compiled.case, n_pairs, seed, split="test")
        else:
            inputs, drawn = "drawn inputs", resample(compiled.draw_codes, n_pairs, seed)
        codes = drawn.clean, drawn.corrupted
    return CertificatePairs(compiled.to_ids(codes[0]), compiled.to_ids(codes[1]), inputs)


def label_names(circuit: Circuit) -> dict[str, LabelName]:
    """Every edge's label, as a certificate has it."""
    names: dict[Label, LabelName] = {
        Label.IN: "in",
        Label.OUT: "out",
        Label.UNDETERMINED: "undetermined",
    }
    return {edge: names[circuit.label(edge)] for edge in circuit.graph.edges}


def edge_set(graph: Graph, edges: Sequence[int] | np.ndarray) -> Sets:
    """One set for all pairs, of the edges at these places."""
    members = np.zeros((1, graph.n_edges), dtype=bool)
    members[0, np.asarray(edges, dtype=np.int64)] = True
    return members


def _outside(circuit: Circuit) -> Group:
    """All outside edges at once, if there are any."""
    outside = circuit.labels == Label.OUT
    return {OUTSIDE: outside[None]} if outside.any() else {}


def _random_sets(circuit: Circuit, n_pairs: int, rng: np.random.Generator) -> Group:
    """Another set of edges for each pair, of random density but never empty."""
    labels = circuit.labels
    sets = {}
    for name, among in zip(
        RANDOM,
        (labels == Label.IN, labels == Label.OUT, circuit.determined),
        strict=True,
    ):
        if among.any():
            density = rng.random((n_pairs, 1), dtype=np.float32)
            drawn = rng.random((n_pairs, len(labels)), dtype=np.float32) < density
            drawn[np.arange(n_pairs), rng.choice(np.flatnonzero(among), n_pairs)] = True
            sets[name] = drawn & among
    return sets


def _set_checks(sets: Mapping[str, Agreement]) -> list[tuple[str, Agreement, float]]:
    thresholds = {OUTSIDE: ALL_OUTSIDE, ONE_OUTSIDE: EVERY_EDGE}
    names = {OUTSIDE: "all outside edges at once", ONE_OUTSIDE: "single outside edges"}
    return [
        (names.get(s, f"{s} edges"), a, thresholds.get(s, RANDOM_SETS)) for s, a in sets.items()
    ]


def _misses(checks: Sequence[tuple[str, Agreement, float]]) -> Iterator[str]:
    for what, found, threshold in checks:
        if not found.share >= threshold:  # NaN, where nothing counts, is a miss
            yield (
                f"{what}: expected agreement of at least {threshold:.1%}, got {found.share:.3%} "
                f"of {found.positions} positions"
            )


def _unused(inside: Mapping[str, Agreement]) -> Iterator[str]:
    """Inside edges that the low-level model does without."""
    for edge, found in inside.items():
        if found.high_changed >= FEWEST_CHANGES and not found.low_changed:
            yield (
                f"inside edge {edge}: expected to change answers, got none changed, where the "
                f"compiled model's change at {found.high_effect:.3%} of {found.positions} positions"
            )
