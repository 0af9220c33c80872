"""What was measured of a trained model, and what of it falls short."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label
from knowncircuits.errors import ResultError
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import write_text
from knowncircuits.models.certificates.agreement import Agreement, worst
from knowncircuits.models.certificates.measured import Measured
from knowncircuits.models.certificates.pairs import ALL_PAIRS, MAX_PAIRS, Inputs
from knowncircuits.models.certificates.thresholds import (
    ACCURACY,
    EVERY_EDGE,
    OWN,
    misses,
    set_checks,
    unused,
)
from knowncircuits.shown import BLANK, Card, Shown, Table, counted, percent

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
LabelName = Literal["in", "out", "undetermined"]


@dataclass(frozen=True, repr=False)
class Certificate(Shown):
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
    # What was measured on each stratum of inputs; certificates of zoo 1 have none. What stands
    # above is of the sampler's, each edge run alone on all pairs.
    strata: Mapping[str, Measured] = field(default_factory=dict)

    def _card(self) -> Card:
        outcome = "passed" if self.passed else counted(len(self.failures), "failure")
        pairs = counted(self.n_pairs, "pair") + (" (all there are)" if self.enumerated else "")
        return Card(
            self.case, (outcome, f"accuracy {percent(self.accuracy.share)}", pairs), self._tables
        )

    def _tables(self) -> list[Table]:
        rows: list[tuple[str, str, str]] = [("no edge patched", "", percent(self.accuracy.share))]
        for title, label in (("worst edge that is in", "in"), ("worst edge that is out", "out")):
            edge, share = worst(dict(self._labelled(label)))
            rows.append((title, edge or BLANK, percent(share)))
        rows += [(name, "", percent(found.share)) for name, found in self.sets.items()]
        tables = [Table("Agreement with the compiled model", ("patched", "edge", "agrees"), rows)]
        if self.failures:
            tables.append(Table("Failures", ("",), [(failure,) for failure in self.failures]))
        return tables

    @property
    def enumerated(self) -> bool:
        """Whether the pairs were all that there are, so that shares are exact."""
        return self.inputs == ALL_PAIRS

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
        idle = unused(dict(self._labelled("in")))
        sampled = (*misses([*checks, *set_checks(self.sets)]), *idle)
        if not self.strata:
            return sampled
        return (*sampled, *self._leaks(), *self._misses_of_strata())

    def _leaks(self) -> Iterator[str]:
        """Edges that are not inside and change the model's own answers where one is defined."""
        for edge, found in self.edges.items():
            if self.labels[edge] != "in" and found.low_effect > OWN:
                yield (
                    f"{edge}: expected at most {OWN:.2%} of the model's own answers changed, got "
                    f"{found.low_effect:.3%} of {found.positions} positions"
                )

    def _misses_of_strata(self) -> Iterator[str]:
        for name, found in self.strata.items():
            yield from (f"stratum {name}: {miss}" for miss in found.misses)

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
        document = {**derived, **SCHEMA.dump_python(self)}
        if not self.strata:
            del document["strata"]
        return document

    def write(self, path: str | Path) -> None:
        """Write JSON whole or not at all; raises ResultError if that fails."""
        write_text(path, json.dumps(self.to_dict(), allow_nan=False) + "\n")


SCHEMA = TypeAdapter(Certificate)


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


def label_names(circuit: Circuit) -> dict[str, LabelName]:
    """Every edge's label, as a certificate has it."""
    names: dict[Label, LabelName] = {
        Label.IN: "in",
        Label.OUT: "out",
        Label.UNDETERMINED: "undetermined",
    }
    return {edge: names[circuit.label(edge)] for edge in circuit.graph.edges}
