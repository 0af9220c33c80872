"""One item at a time ablated at all scales, on clean runs that are made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.errors import ModelError, TaskError
from knowncircuits.evaluation.choices import MlpPlace
from knowncircuits.evaluation.effects.ablations import NodeStatistics, Patch
from knowncircuits.evaluation.effects.items import Item
from knowncircuits.evaluation.effects.subjects import Subject, weigh_pairs
from knowncircuits.patching import single_patches
from knowncircuits.primitive import ShowsUnits

NO_DENOMINATOR = 1e-9  # differences of divergences that are rounding


@dataclass(frozen=True, eq=False)
class PositionedPatch:
    """An ablation of one node at some positions."""

    patch: Patch
    positions: Int[Tensor, " some"]
    statistics: NodeStatistics

    def __call__(self, own: Tensor, other: Tensor, scale: Tensor) -> Tensor:
        """What the node writes: at other positions, its own value."""
        if len(self.positions) == own.shape[1]:
            return self.patch(own, other, scale, self.statistics)
        there = own[:, self.positions], other[:, self.positions]
        patched = own.clone()
        patched[:, self.positions] = self.patch(*there, scale, self.statistics)
        return patched


class Sweep:
    """The clean runs of all different inputs, and what each position of each pair counts."""

    def __init__(
        self,
        subject: Subject,
        ids: Int[Tensor, "input pos"],
        metric: str,
        *,
        n_pairs: int | None,
        seed: int,
        atol: float,
        mlp_at: MlpPlace = "output",
    ) -> None:
        """For the arguments and errors see `causal_effects`."""
        ids, self.counts = torch.unique(ids, dim=0, return_counts=True)
        self.clean = subject.model.run(ids)
        self.outputs = self.clean.outputs
        self.patches = single_patches(subject.model, ids, self.clean)
        self._units = _mlp_units(subject, ids) if mlp_at == "post" else {}
        self.labels = subject.labels(ids, self.clean, atol)
        pairs = weigh_pairs(self.counts.cpu().numpy(), n_pairs, seed)
        base, source, weights = (
            x.to(ids.device) for x in (pairs.base, pairs.source, pairs.weights)
        )
        counted = self.labels.differ(base, source) * weights[:, None]
        if not counted.any():
            raise TaskError("expected labels that differ between inputs, got the same for all")
        shares, self.n_excluded = counted.double(), 0
        self.divergence: Tensor | None = None  # of the clean runs; None for flips
        if metric == "kl":
            if self.labels.numerical:
                raise TaskError("expected categorical outputs for kl, got numerical ones")
            logits, every = self.clean.logits.double(), torch.arange(len(ids), device=ids.device)
            self.divergence = self.labels.divergence(logits, every)
            denominator = self.labels.divergence(logits[source], base) - self.divergence[base]
            usable = denominator.abs() > NO_DENOMINATOR
            self.n_excluded = int((counted * ~usable).sum())
            counted = counted * usable
            shares = (counted / denominator).where(usable, 0.0)
        used = counted.any(1)
        self.base, self.source = base[used], source[used]
        self.counted, self.shares = counted[used], shares[used]
        self.n = int(counted.sum())

    def ablated(self, source: int) -> Float[Tensor, "input pos _"]:
        """What of a source is ablated: what it writes, or of an MLP its hidden units."""
        if source in self._units:
            return self._units[source][0]
        return self.outputs[:, source]

    def effects(
        self, item: Item, patch: PositionedPatch, from_source: bool, scales: Sequence[float]
    ) -> list[tuple[float, int]]:
        """For each scale the effect, and at how many positions the answer changes."""
        written = self.ablated(item.source).contiguous()
        outputs, weights = (
            self.outputs[:, item.source],
            self._units.get(item.source, (None, None))[1],
        )
        base, other, counted, shares = self._fold(written[:, patch.positions], from_source)
        ks = torch.tensor([float(k) for k in scales], dtype=written.dtype, device=written.device)

        def values(rows: Tensor) -> Tensor:
            pairs, k = rows // len(ks), ks[rows % len(ks)]
            own, others = (written.index_select(0, x[pairs]) for x in (base, other))
            new = patch(own, others, k[:, None, None])
            if weights is None:
                return new
            # The bias of the MLP, a part of what it writes, stays as it is.
            return outputs.index_select(0, base[pairs]) + (new - own) @ weights

        bases = base.repeat_interleave(len(ks))
        if item.edge is None:
            runs = self.patches.nodes(torch.full_like(bases, item.source), bases, values)
        else:
            runs = self.patches.edges(torch.full_like(bases, item.edge), bases, values)
        changed = torch.zeros(len(ks), dtype=torch.int64, device=written.device)
        effect = torch.zeros(len(ks), dtype=torch.float64, device=written.device)
        for rows, logits in runs:
            pairs, scale = rows // len(ks), rows % len(ks)
            flips = self.labels.changed(logits, base[pairs])
            changed.index_add_(0, scale, (counted[pairs] * flips).sum(1))
            if self.divergence is not None:
                kl = self.labels.divergence(logits.double(), base[pairs])
                gain = (kl - self.divergence[base[pairs]]) * shares[pairs]
                effect.index_add_(0, scale, gain.sum(1))
        total = changed.double() if self.divergence is None else effect
        return list(zip((total / self.n).tolist(), changed.tolist(), strict=True))

    def _fold(
        self, written: Float[Tensor, "input pos _"], from_source: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pairs of one base whose sources write the same are patched alike, and become one.

        Returns base and source of each, and at how many positions and with what shares it counts.
        """
        n = len(written)
        same = torch.zeros(n, dtype=torch.int64, device=written.device)
        if from_source:
            same = torch.unique(written.flatten(1), dim=0, return_inverse=True)[1]
        first = torch.full((n,), n, device=written.device)
        first = first.scatter_reduce(0, same, torch.arange(n, device=written.device), "amin")
        keys = self.base * n + first[same[self.source]]
        keys, place = torch.unique(keys, return_inverse=True)
        counted, shares = (
            x.new_zeros(len(keys), x.shape[1]).index_add_(0, place, x)
            for x in (self.counted, self.shares)
        )
        return keys // n, keys % n, counted, shares


def _mlp_units(
    subject: Subject, ids: Int[Tensor, "input pos"]
) -> dict[int, tuple[Float[Tensor, "input pos unit"], Float[Tensor, "unit d_model"]]]:
    """The hidden units of each MLP and what each unit writes, by the MLP's place among the sources.

    Raises ModelError for a model that does not show them.
    """
    model = subject.model
    if not isinstance(model, ShowsUnits):
        raise ModelError(
            "expected a model that shows hidden units, to ablate MLPs there, got "
            f"{type(model).__name__}"
        )
    units, weights = model.hidden_units(ids), model.unit_weights
    return {
        place: (units[:, node.layer], weights[node.layer])
        for place, node in enumerate(model.graph.sources)
        if node.kind == "mlp"
    }
