"""How often a low-level model agrees with the compiled one when edges read another input.

Both are run on base with a set E of edges reading the source's run: the low-level model with E, the
compiled one with the images of E under the correspondence, edges without an image being dropped.
They agree at a position if their answers are equal: the likeliest token, or the same number within
a tolerance. What counts are the positions at which the compiled model's output is defined; all
positions for a low-level model that has an answer "none" of its own, `Placed.says_none`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import model_serializer
from scipy.special import betaincinv
from torch import Tensor

from knowncircuits.cases.pools import ATOL
from knowncircuits.correspondence import Correspondence
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.certificates.sides import (
    EDGES,
    NONE,
    Answers,
    AnswersOfSets,
    Side,
    equal,
    high_answers,
    low_answers,
)
from knowncircuits.transformer import Transformer

Ablation = Literal["resample", "mean", "zero"]
ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
Sets = Bool[np.ndarray, "#pair low_edge"]  # one set of edges for all pairs, or one for each

CONFIDENCE = 0.95
BATCH = 512  # pairs at a time


@dataclass(frozen=True)
class Agreement:
    """How often two models agree under the same interchange: counts, which add up."""

    positions: int = 0  # that count
    agreeing: int = 0
    pairs: int = 0  # with a position that counts
    agreeing_pairs: int = 0  # that agree at every one of them
    low_changed: int = 0  # positions at which the interchange changes the low-level answer
    high_changed: int = 0  # ... and the compiled model's
    followed: int = 0  # ... and the low-level model agrees

    @property
    def share(self) -> float:
        """Agreeing positions of all that count; NaN where none does."""
        return self.agreeing / self.positions if self.positions else float("nan")

    @property
    def lower_bound(self) -> float:
        """So great a share of all pairs agrees everywhere, or a greater one, with CONFIDENCE.

        The exact one-sided bound for a binomial share (Clopper and Pearson, 1934). Pairs are drawn
        independently, the positions of a pair are not: hence the bound on pairs.
        """
        if not self.agreeing_pairs:
            return 0.0
        others = self.pairs - self.agreeing_pairs
        return float(betaincinv(self.agreeing_pairs, others + 1, 1 - CONFIDENCE))

    @property
    def low_effect(self) -> float:
        """The share of positions whose answer the interchange changes in the low-level model."""
        return self.low_changed / max(1, self.positions)

    @property
    def high_effect(self) -> float:
        """The share of positions whose answer the interchange changes in the compiled model."""
        return self.high_changed / max(1, self.positions)

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @model_serializer
    def to_dict(self) -> dict[str, Any]:
        """The counts, and what follows from them for those who read the file."""
        derived = ("share", "lower_bound", "low_effect", "high_effect")
        shares = {name: getattr(self, name) for name in derived}
        # Rounded down: 1 is only what is 1. NaN has no place in JSON.
        floors = {k: None if np.isnan(v) else np.floor(v * 1e6) / 1e6 for k, v in shares.items()}
        return floors | asdict(self)


def worst(group: Mapping[str, Agreement]) -> tuple[str, float]:
    """What agrees least, and how often; none: ("", 1).

    Where nothing counts, the share being NaN, nothing is shown to agree, and that is worse.
    """
    shares = {name: found.share for name, found in group.items()}
    order = {name: -1.0 if np.isnan(share) else share for name, share in shares.items()}
    least = min(order, key=order.__getitem__, default="")
    return least, shares.get(least, 1.0)


def measure(
    placed: Placed,
    base: Int[Tensor, "pair pos"],
    source: Int[Tensor, "pair pos"],
    sets: Mapping[str, Sets],
    *,
    ablation: Ablation = "resample",
    atol: float = ATOL,
    batch_size: int = BATCH,
    progress: Callable[[int], None] = lambda n: None,
) -> dict[str, Agreement]:
    """The agreement of two models for each of several sets of edges, by name.

    Args:
        placed: the models, and which low-level edge stands for which compiled one.
        base: ids to run on.
        source: ids of the run that edges read instead.
        sets: for each name, the edges that read it: a row for all pairs, or one row per pair.
        ablation: `resample`: edges read the run on the source. `mean`: the mean of all such runs,
            position by position, each model its own. `zero`: nothing.
        atol: how far numbers may differ and be equal; tokens are equal or not.
        batch_size: pairs at a time.
        progress: told of the pairs that are done, batch by batch.
    """
    fixed = FixedAlternatives.of(placed, source, ablation, batch_size)
    found = dict.fromkeys(sets, Agreement())
    for start in range(0, len(base), batch_size):
        batch = slice(start, start + batch_size)
        for name, agreement in count_batch(
            placed, base[batch], source[batch], sets_of(sets, batch), fixed, atol
        ).items():
            found[name] += agreement
        progress(len(base[batch]))
    return found


def sets_of(
    sets: Mapping[str, Sets], batch: slice
) -> dict[str, Bool[np.ndarray, "#some low_edge"]]:
    """Those of some pairs."""
    return {name: rows if len(rows) == 1 else rows[batch] for name, rows in sets.items()}


@torch.no_grad()
def count_batch(
    placed: Placed,
    base: Int[Tensor, "pair pos"],
    source: Int[Tensor, "pair pos"],
    sets: Mapping[str, Sets],
    fixed: FixedAlternatives,
    atol: float,
) -> dict[str, Agreement]:
    """The agreement on one batch of pairs; see `measure`."""
    model, compiled, correspondence = placed.model, placed.compiled, placed.correspondence
    single = [name for name, rows in sets.items() if len(rows) == 1 and rows.sum() == 1]
    edges = np.array([sets[name].argmax() for name in single], dtype=np.int64)
    low = Side(model, base, source, fixed.low, partial(low_answers, compiled))
    high = Side(compiled.model, base, source, fixed.high, partial(high_answers, compiled))
    found: dict[str, Agreement] = {}
    for i in range(0, len(edges), EDGES):
        some = edges[i : i + EDGES]
        patched = low.edges(some), high.edges(correspondence.image[some])
        counts = counts_of(*patched, low.clean, high.clean, atol, placed.says_none)
        found |= zip(single[i : i + EDGES], counts, strict=True)
    for name, rows in sets.items():
        if name not in found:
            patched = (
                low.edge_set(rows)[None],
                high.edge_set(images(rows, correspondence))[None],
            )
            (found[name],) = counts_of(*patched, low.clean, high.clean, atol, placed.says_none)
    return found


@dataclass(frozen=True, eq=False)
class FixedAlternatives:
    """What edges read in every pair alike, in each of the two models; None: what is the pair's."""

    low: Float[Tensor, "1 low_source seq d_low"] | None
    high: Float[Tensor, "1 high_source seq d_high"] | None

    @classmethod
    @torch.no_grad()
    def of(
        cls, placed: Placed, source: Int[Tensor, "pair pos"], ablation: Ablation, batch_size: int
    ) -> FixedAlternatives:
        """The alternatives of an ablation, from all sources."""
        models = placed.model, placed.compiled.model
        return cls(*(_fixed_alternative(m, source, ablation, batch_size) for m in models))


def _fixed_alternative(
    model: Transformer, source: Tensor, ablation: Ablation, batch_size: int
) -> Float[Tensor, "1 source seq d_model"] | None:
    """What edges read in every pair alike: the mean over all sources' runs, zero, or None."""
    if ablation == "resample":
        return None
    batches = torch.split(source.to(model.device), batch_size)
    totals = torch.stack([model.run(batch).outputs.sum(0) for batch in batches])
    mean = totals.sum(0, keepdim=True) / len(source)
    return mean if ablation == "mean" else torch.zeros_like(mean)


def images(
    edges: Bool[np.ndarray, "#pair low_edge"], correspondence: Correspondence
) -> Bool[np.ndarray, "#pair high_edge"]:
    """The compiled edges that sets of low-level ones stand for."""
    image = correspondence.image
    high = np.zeros((len(edges), correspondence.high.graph.n_edges), dtype=bool)
    high[:, image[image >= 0]] = edges[:, image >= 0]
    return high


def counts_of(
    low: AnswersOfSets,
    high: AnswersOfSets,
    low_clean: Answers,
    high_clean: Answers,
    atol: float,
    everywhere: bool,
) -> list[Agreement]:
    """The agreement of each set of edges, from what both models answer under it and without.

    Positions count where the compiled model has an answer, or everywhere.
    """
    counts = torch.ones_like(high, dtype=torch.bool)
    if not (everywhere or high.is_floating_point()):
        counts = high != NONE
    agrees = equal(low, high, atol)
    high_changed = counts & ~equal(high, high_clean, atol)
    counted_pairs = counts.any(-1)
    numbers = (
        counts,
        counts & agrees,
        counted_pairs,
        counted_pairs & (agrees | ~counts).all(-1),
        counts & ~equal(low, low_clean, atol),
        high_changed,
        high_changed & agrees,
    )
    totals = torch.stack([number.flatten(1).sum(1) for number in numbers], 1)
    return [Agreement(*row) for row in totals.tolist()]
