"""How often a low-level model agrees with the compiled one when edges read another input.

Both are run on base with a set E of edges reading the source's run: the low-level model with E, the
compiled one with the images of E under the correspondence, edges without an image being dropped.
They agree at a position if their answers are equal: the likeliest token, or the same number within
a tolerance. What counts are the positions at which the compiled model's output is defined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import betaincinv  # type: ignore[import-untyped]
from torch import Tensor

from knowncircuits.compiler import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.transformer import Transformer

Ablation = Literal["resample", "mean", "zero"]
Sets = Bool[np.ndarray, "#pair low_edge"]  # one set of edges for all pairs, or one for each

ATOL = 0.05  # numbers as near as this are equal
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
        """At least so great a share of all pairs agrees everywhere, with 95% confidence.

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

    def to_dict(self) -> dict[str, Any]:
        """The counts, and what follows from them for those who read the file."""
        derived = ("share", "lower_bound", "low_effect", "high_effect")
        shares = {name: getattr(self, name) for name in derived}
        # Rounded down: 1 is only what is 1. NaN has no place in JSON.
        floors = {k: None if np.isnan(v) else np.floor(v * 1e6) / 1e6 for k, v in shares.items()}
        return floors | asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Agreement:
        """The inverse of `to_dict`; the counts alone are read."""
        return cls(**{f.name: int(document[f.name]) for f in fields(cls)})


def measure(
    model: Transformer,
    compiled: Compiled,
    correspondence: Correspondence,
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
        model: the low-level model.
        compiled: the high-level one.
        correspondence: which low-level edge stands for which compiled one.
        base: ids to run on.
        source: ids of the run that edges read instead.
        sets: for each name, the edges that read it: a row for all pairs, or one row per pair.
        ablation: `resample`: edges read the run on the source. `mean`: the mean of all such runs,
            position by position, each model its own. `zero`: nothing.
        atol: how far numbers may differ and be equal; tokens are equal or not.
        batch_size: pairs at a time.
        progress: told of the pairs that are done, batch by batch.

    Raises:
        ModelError: if the models and the correspondence do not belong together.
    """
    check_models(model, compiled, correspondence)
    found = dict.fromkeys(sets, Agreement())
    with torch.no_grad():
        low_fixed = _fixed_alternative(model, source, ablation, batch_size)
        high_fixed = _fixed_alternative(compiled.model, source, ablation, batch_size)
        for start in range(0, len(base), batch_size):
            batch = slice(start, start + batch_size)
            low = _Side(model, compiled, base[batch], source[batch], low_fixed)
            high = _Side(compiled.model, compiled, base[batch], source[batch], high_fixed)
            for name, rows in sets.items():
                edges = rows if len(rows) == 1 else rows[batch]
                patched = low.answers(edges), high.answers(_images(edges, correspondence))
                found[name] += _count(*patched, low.clean, high.clean, atol)
            progress(len(base[batch]))
    return found


def check_models(model: Transformer, compiled: Compiled, correspondence: Correspondence) -> None:
    """Raise ModelError, with expected and got, for what cannot be compared."""
    low, high = model.config, compiled.model.config
    pairs: list[tuple[str, object, object]] = [
        ("a correspondence into the model's graph", model.graph, correspondence.low),
        ("a correspondence from the compiled circuit", compiled.circuit, correspondence.high),
        ("a model of as many tokens as the compiled one", high.d_vocab, low.d_vocab),
        ("a model of as many outputs as the compiled one", high.d_vocab_out, low.d_vocab_out),
    ]
    for what, expected, got in pairs:
        if expected != got:
            raise ModelError(f"expected {what}, {_describe(expected)}, got {_describe(got)}")
    if low.n_ctx < high.n_ctx:
        raise ModelError(f"expected a context of at least {high.n_ctx}, got {low.n_ctx}")


def _describe(value: Any) -> str:
    graph = getattr(value, "graph", value)
    return graph.summary() if hasattr(graph, "summary") else str(value)


class _Answers(NamedTuple):
    """What a model says after BOS: tokens or numbers [pair, pos]."""

    values: Tensor
    defined: Tensor  # where a compiled model says anything


class _Side:
    """One of the two models on a batch of pairs; its clean and source runs are made once."""

    def __init__(
        self,
        model: Transformer,
        compiled: Compiled,
        base: Tensor,
        source: Tensor,
        alternative: Tensor | None,
    ) -> None:
        """Without an alternative, the outputs on the source."""
        self.model, self.compiled = model, compiled
        self.base = base.to(model.device)
        if alternative is None:
            alternative = model.run(source.to(model.device)).outputs
        self.alternative = alternative
        logits, outputs = model.run(self.base)
        self.clean = self._read(logits)
        moved = (outputs != alternative).movedim(1, 0).flatten(1).any(1).cpu().numpy()
        # Edges whose source writes the same in both runs of every pair change nothing.
        self.moved: np.ndarray = moved[model.graph.source_of_edge]

    def answers(self, edges: Bool[np.ndarray, "#pair edge"]) -> _Answers:
        """The answers on base when these edges read the alternative."""
        edges = edges & self.moved
        if not edges.any():
            return self.clean
        mask = torch.from_numpy(edges).to(self.model.device, self.model.dtype)
        return self._read(self.model.run(self.base, self.alternative, mask).logits)

    def _read(self, logits: Tensor) -> _Answers:
        values = logits[..., 0] if self.compiled.output.numerical else logits.argmax(-1)
        return _Answers(values[:, 1:].cpu(), self.compiled.defined(logits)[:, 1:].cpu())


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


def _images(
    edges: Bool[np.ndarray, "#pair low_edge"], correspondence: Correspondence
) -> Bool[np.ndarray, "#pair high_edge"]:
    """The compiled edges that sets of low-level ones stand for."""
    image = correspondence.image
    high = np.zeros((len(edges), correspondence.high.graph.n_edges), dtype=bool)
    high[:, image[image >= 0]] = edges[:, image >= 0]
    return high


def _count(
    low: _Answers, high: _Answers, low_clean: _Answers, high_clean: _Answers, atol: float
) -> Agreement:
    def equal(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs() <= atol if a.is_floating_point() else a == b

    counts = high.defined
    agrees = equal(low.values, high.values)
    low_changed = counts & ~equal(low.values, low_clean.values)
    high_changed = counts & ~(equal(high.values, high_clean.values) & high_clean.defined)
    counted_pairs = counts.any(1)
    numbers = (
        counts,
        counts & agrees,
        counted_pairs,
        counted_pairs & (agrees | ~counts).all(1),
        low_changed,
        high_changed,
        high_changed & agrees,
    )
    return Agreement(*(int(number.sum()) for number in numbers))
