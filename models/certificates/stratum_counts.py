"""What is counted on a part of a stratum's pairs: counts, which add up, as JSON has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from knowncircuits.models.certificates.agreement import Agreement
from knowncircuits.models.certificates.blame import blame
from knowncircuits.models.certificates.change import MOVE, Change
from knowncircuits.models.certificates.measured import Measured, excess_of
from knowncircuits.models.certificates.pairs import CertificatePairs
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sides import Side, low_answers

Counts = TypeVar("Counts", Agreement, Change)


@dataclass(frozen=True)
class ChangedPair:
    """A pair on which a set of edges moves something."""

    base: list[int]  # ids
    source: list[int]
    edges: list[int]  # of the set, by their places

    @classmethod
    def of(
        cls,
        base: Int[Tensor, " pos"],
        source: Int[Tensor, " pos"],
        edges: Bool[np.ndarray, " edge"],
    ) -> ChangedPair:
        """From ids, and which edges read the other input."""
        return cls(base.tolist(), source.tolist(), np.flatnonzero(edges).tolist())


@dataclass
class StratumCounts:
    """Counts over some of a stratum's pairs."""

    accuracy: Agreement = field(default_factory=Agreement)
    answers: dict[str, Agreement] = field(default_factory=dict)
    edges: dict[str, Agreement] = field(default_factory=dict)
    sets: dict[str, Agreement] = field(default_factory=dict)
    own: dict[str, Change] = field(default_factory=dict)  # of sets
    alone: dict[str, Change] = field(default_factory=dict)  # of pairs on which edges were run
    changed: dict[str, list[ChangedPair]] = field(default_factory=dict)  # of each set a few

    def keep(self, name: str, most: int, pair: ChangedPair) -> None:
        """Keep a pair that a set changes, one of the first ones."""
        kept = self.changed.setdefault(name, [])
        if len(kept) < most:
            kept.append(pair)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        groups = ("answers", "edges", "sets", "own", "alone")
        return {
            "accuracy": astuple(self.accuracy),
            **{g: {name: astuple(c) for name, c in getattr(self, g).items()} for g in groups},
            "changed": {name: [astuple(p) for p in pairs] for name, pairs in self.changed.items()},
        }

    @classmethod
    def merge(cls, documents: Iterable[Mapping[str, Any]], most: int) -> StratumCounts:
        """Those of several parts, in the order of their pairs; of changed ones the first few."""
        found = cls()
        for document in documents:
            found.accuracy += Agreement(*document["accuracy"])
            for group in ("answers", "edges", "sets"):
                for name, counts in document[group].items():
                    add_count(getattr(found, group), name, Agreement(*counts))
            for group in ("own", "alone"):
                for name, counts in document[group].items():
                    add_count(getattr(found, group), name, Change(*counts))
            for name, pairs in document["changed"].items():
                for pair in pairs:
                    found.keep(name, most, ChangedPair(*pair))
        return found

    def measured(
        self, placed: Placed, pairs: CertificatePairs, n_company: int, atol: float
    ) -> Measured:
        """What they say of the stratum, once they are of all its pairs."""
        n_pairs, length = len(pairs.base), pairs.base.shape[1] - 1
        whole = {"positions": n_pairs * length, "pairs": n_pairs}
        alone = {e: replace(found, **whole) for e, found in self.alone.items() if found.moved}
        return Measured(
            inputs=pairs.inputs,
            n_pairs=n_pairs,
            n_inputs=pairs.n_inputs,
            n_beyond=pairs.n_beyond,
            n_company=n_company,
            accuracy=self.accuracy,
            answers=self.answers,
            edges=self.edges,
            sets=self.sets,
            own={**alone, **self.own},
            blame=self._blamed(placed, atol),
        )

    def _blamed(self, placed: Placed, atol: float) -> dict[str, dict[str, int]]:
        """The edges to blame in each set that changes too many answers."""
        inside, blamed = placed.correspondence.inside, {}
        for name, pairs in self.changed.items():
            if pairs and excess_of(self.own[name]):
                base, source = (
                    torch.tensor([getattr(pair, which) for pair in pairs])
                    for which in ("base", "source")
                )
                sets = np.zeros((len(pairs), len(inside)), dtype=bool)
                for row, pair in zip(sets, pairs, strict=True):
                    row[pair.edges] = True
                read = partial(low_answers, placed.compiled)
                side = Side(placed.model, base, source, None, read)
                blamed[name] = blame(side, sets, ~inside, MOVE * atol)
        return blamed


def add_count(found: dict[str, Counts], name: str, more: Counts) -> None:
    """Add counts to those of a name."""
    found[name] = found[name] + more if name in found else more
