"""What a certificate is measured in: parts of a batch of pairs each, wherever they are done.

The parts are the same for any number of processes, and each follows from the settings and its
place alone, so that counts do too.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from knowncircuits.cases.registry import load_case
from knowncircuits.cases.strata import BALANCED
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import GraphError, ModelError
from knowncircuits.models.certificates.agreement import (
    Ablation,
    Agreement,
    FixedAlternatives,
    Sets,
    count_batch,
    sets_of,
)
from knowncircuits.models.certificates.identity import TRAINED_DTYPE, identity
from knowncircuits.models.certificates.measured import Measured
from knowncircuits.models.certificates.pairs import (
    ALL_PAIRS,
    CertificatePairs,
    certificate_pairs,
    n_in_company,
    n_of_stratum,
    stratum_pairs,
)
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sets import (
    NOTHING,
    StratumSets,
    edge_set,
    outside_set,
    random_sets,
)
from knowncircuits.models.certificates.stratum import BLAMED, Counter
from knowncircuits.models.certificates.stratum_counts import StratumCounts
from knowncircuits.transformer import Transformer


@dataclass(frozen=True)
class MeasuringSettings:
    """What `certify` is asked for."""

    n_pairs: int
    seed: int
    edges: tuple[str, ...]
    ablations: tuple[Ablation, ...]
    strata: tuple[str, ...]
    atol: float
    batch_size: int


@dataclass(frozen=True)
class Part:
    """A batch of a stratum's pairs, or of the certificate's own under an ablation."""

    of: str  # which
    is_stratum: bool
    start: int
    n_pairs: int

    @property
    def batch(self) -> slice:
        """Its place among the pairs."""
        return slice(self.start, self.start + self.n_pairs)


class Measuring:
    """Measures parts; on its way to another process it is the model and the name of its case."""

    def __init__(self, placed: Placed, settings: MeasuringSettings) -> None:
        self.settings = settings
        self.placed = placed
        self.identity = identity(placed)

    def __getstate__(self) -> dict[str, Any]:
        placed = self.placed
        # As bytes: tensors themselves would be shared with this process.
        sent = (
            pickle.dumps(deepcopy(placed.model).cpu()),
            str(placed.model.device),
            placed.compiled.name,
            dict(placed.correspondence.nodes),
        )
        return {"settings": self.settings, "identity": self.identity, "sent": sent}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @cached_property
    def placed(self) -> Placed:
        """The models, in another process: the case is known there once the work begins."""
        weights, device, case, nodes = self.__dict__["sent"]
        model = cast(Transformer, pickle.loads(weights)).to(device)
        compiled = load_case(case).compile(dtype=TRAINED_DTYPE)
        try:
            correspondence = Correspondence(compiled.circuit, model.graph, nodes)
            placed = Placed(model, compiled.to(device=device), correspondence)
        except GraphError as error:
            raise ModelError(f"expected a model of the case {case}, got one of another") from error
        if identity(placed) != self.identity:
            raise ModelError(f"expected a model of the case {case}, got one of another")
        return placed

    def content(self, part: Part) -> dict[str, Any]:
        """All that a part follows from."""
        settings = asdict(self.settings)
        if part.is_stratum:  # what there is beside does not change it, but for its seed
            del settings["edges"], settings["ablations"]
        return {**self.identity, **settings, "case": self.placed.compiled.name, **asdict(part)}

    def parts(self) -> list[Part]:
        """All of them. What is missed is seen soonest on the smallest strata: these come first."""
        return [
            part
            for name in (*self.smallest_first, *self.settings.ablations)
            for part in self.parts_of(name)
        ]

    def parts_of(self, name: str) -> list[Part]:
        """Those of a stratum or of an ablation, in the order of their pairs."""
        is_stratum, size = name in self.strata, self.settings.batch_size
        total = len((self.strata[name] if is_stratum else self.pairs).base)
        starts = range(0, total, size)
        return [Part(name, is_stratum, start, min(size, total - start)) for start in starts]

    @property
    def smallest_first(self) -> list[str]:
        """The strata."""
        return sorted(self.strata, key=lambda name: len(self.strata[name].base))

    @cached_property
    def pairs(self) -> CertificatePairs:
        """The certificate's own."""
        return certificate_pairs(self.placed.compiled, self.settings.n_pairs, self.settings.seed)

    @cached_property
    def strata(self) -> dict[str, CertificatePairs]:
        """The pairs of each stratum."""
        total, enumerated = len(self.pairs.base), self.pairs.inputs == ALL_PAIRS
        return {
            name: stratum_pairs(
                self.placed.compiled,
                name,
                n_of_stratum(name, total, enumerated=enumerated),
                self.settings.seed,
            )
            for name in self.settings.strata
        }

    @cached_property
    def sets(self) -> dict[str, Sets]:
        """All outside edges at once, and a random set for each pair."""
        total = len(self.pairs.base)
        rng = np.random.default_rng([self.settings.seed, total])
        return outside_set(self.placed.circuit) | random_sets(self.placed.circuit, total, rng)

    def sets_of(self, ablation: str) -> dict[str, Sets]:
        """The sets that are measured under an ablation."""
        return self._everything if ablation == "resample" else self._some

    @cached_property
    def _everything(self) -> dict[str, Sets]:
        graph = self.placed.model.graph
        nodes = {str(node): edge_set(graph, graph.edges_from(node)) for node in graph.sources}
        return {NOTHING: edge_set(graph, []), **self._single, **nodes, **self.sets}

    @cached_property
    def _some(self) -> dict[str, Sets]:
        graph, inside = self.placed.model.graph, self.placed.correspondence.inside
        single = {edge: rows for edge, rows in self._single.items() if inside[graph.index(edge)]}
        return outside_set(self.placed.circuit) | single

    @cached_property
    def _single(self) -> dict[str, Sets]:
        graph = self.placed.model.graph
        return {edge: edge_set(graph, [graph.index(edge)]) for edge in self.settings.edges}

    def __call__(self, part: Part) -> dict[str, Any]:
        """Measure one, as JSON: counts."""
        if part.is_stratum:
            return self._counter(part.of).count(part.batch).document()
        ablation = cast(Ablation, part.of)
        found = count_batch(
            self.placed,
            self.pairs.base[part.batch],
            self.pairs.source[part.batch],
            sets_of(self.sets_of(ablation), part.batch),
            self._fixed(ablation),
            self.settings.atol,
        )
        return {name: astuple(agreement) for name, agreement in found.items()}

    def _counter(self, stratum: str) -> Counter:
        """The counter of the stratum that is measured; that of an earlier stratum is not kept."""
        if self.__dict__.get("_counted") != stratum:
            pairs = self.strata[stratum]
            rng = np.random.default_rng([self.settings.seed, [*self.strata].index(stratum)])
            self._counted, self._last = (
                stratum,
                Counter(
                    self.placed,
                    pairs,
                    StratumSets.draw(self.placed.circuit, len(pairs.base), rng),
                    self._n_company(stratum),
                    self.settings.atol,
                    by_answer=stratum == BALANCED,
                ),
            )
        return self._last

    def _n_company(self, stratum: str) -> int:
        return n_in_company(len(self.strata[stratum].base), len(self.pairs.base))

    def _fixed(self, ablation: Ablation) -> FixedAlternatives:
        """What edges read under the ablation that is measured."""
        if self.__dict__.get("_ablated") != ablation:
            self._ablated, self._alternatives = (
                ablation,
                FixedAlternatives.of(
                    self.placed, self.pairs.source, ablation, self.settings.batch_size
                ),
            )
        return self._alternatives

    def stratum(self, name: str, documents: Sequence[Mapping[str, Any]]) -> Measured:
        """What all of a stratum's parts come to, in their order."""
        counts = StratumCounts.merge(documents, BLAMED)
        pairs, atol = self.strata[name], self.settings.atol
        return counts.measured(self.placed, pairs, self._n_company(name), atol)

    def agreements(
        self, ablation: str, documents: Sequence[Mapping[str, Any]]
    ) -> dict[str, Agreement]:
        """What all parts of an ablation come to."""
        return {
            name: sum((Agreement(*document[name]) for document in documents), Agreement())
            for name in self.sets_of(ablation)
        }
