"""What a node is patched with: the registry of ablations, and the statistics that they need.

With x what the node writes on base, c what it writes on the source, k the scale, μ the mean over
the inputs and P the projection on the top principal directions of the node's activations at a
position, a node is patched with one of

    resample          k c
    mean              k μ
    zero              0

or, {itself, the source} x {inside the directions, outside them}, with

    self-inside       x + (k-1) P(x-μ)
    self-outside      μ + P(x-μ) + k (x-μ-P(x-μ))
    resample-inside   x - P(x-μ) + k P(c-μ)
    resample-outside  μ + P(x-μ) + k (c-μ-P(c-μ))

The last four are those of InterpBench's realism study (Gupta et al., 2024), without its defect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.errors import UnknownNameError

Written = Float[Tensor, "row pos d_model"]
Scale = Float[Tensor, "row 1 1"]

# Directions along which activations vary by less than rounding are none: so many of its steps.
ROUNDING_STEPS = 100


@dataclass(frozen=True, eq=False)
class NodeStatistics:
    """Statistics of what a node writes on the given inputs, position by position."""

    mean: Float[Tensor, "pos d_model"]
    # The top principal directions, of length one; zero where activations vary along fewer.
    directions: Float[Tensor, "pos direction d_model"]
    centre: Float[Tensor, "pos d_model"]  # μ of the formulas
    legacy: bool = False

    def inside(self, x: Written) -> Float[Tensor, "row pos d_model_or_1"]:
        """P(x - μ); legacy: the sum of its coefficients, a number for all dimensions alike."""
        coefficients = torch.einsum("rpm,pnm->rpn", x - self.centre, self.directions)
        if self.legacy:
            return coefficients.sum(-1, keepdim=True)
        return torch.einsum("rpn,pnm->rpm", coefficients, self.directions)

    def at(self, positions: Int[Tensor, " some"]) -> NodeStatistics:
        """The same of some positions."""
        parts = (self.mean[positions], self.directions[positions], self.centre[positions])
        return NodeStatistics(*parts, legacy=self.legacy)


def node_statistics(
    written: Float[Tensor, "input pos d_model"],
    weights: Int[Tensor, " input"],
    n_components: int = 1,
    *,
    centred: bool = True,
    legacy: bool = False,
) -> NodeStatistics:
    """The mean and the principal directions of what a node writes.

    Args:
        written: on each different input.
        weights: how often each input is given.
        n_components: how many directions; fewer where activations vary along fewer.
        centred: whether μ of the formulas is the mean; 0 if not. Directions are always those of
            activations around their mean.
        legacy: as InterpBench's notebook: μ is 0, coefficients are summed up and never multiplied
            by their directions, and where activations do not vary, directions are arbitrary.
    """
    x, w = written.double(), weights.double()
    mean = torch.einsum("i,ipm->pm", w / w.sum(), x)
    varying = torch.sqrt(w)[:, None, None] * (x - mean)
    _, lengths, directions = torch.linalg.svd(varying.transpose(0, 1), full_matrices=False)
    lengths, directions = lengths[:, :n_components], directions[:, :n_components]
    if not legacy:
        size = x.abs().amax((0, 2)) * w.sum().sqrt()
        least = ROUNDING_STEPS * torch.finfo(written.dtype).eps * size
        directions = directions * (lengths > least[:, None])[..., None]
    # A direction's sign is arbitrary, and counts where coefficients are summed: scikit-learn's.
    largest = directions.abs().argmax(-1, keepdim=True)
    directions = directions * directions.gather(-1, largest).sign()
    mean = mean.to(written)
    centre = mean if centred and not legacy else torch.zeros_like(mean)
    return NodeStatistics(mean, directions.to(written), centre, legacy)


Patch = Callable[[Written, Written, Scale, NodeStatistics], Written]


def _resample(x: Written, c: Written, k: Scale, node: NodeStatistics) -> Written:
    return k * c


def _mean(x: Written, c: Written, k: Scale, node: NodeStatistics) -> Written:
    return k * node.mean.expand_as(x)


def _zero(x: Written, c: Written, k: Scale, node: NodeStatistics) -> Written:
    return torch.zeros_like(x)


def _self_inside(x: Written, c: Written, k: Scale, node: NodeStatistics) -> Written:
    return x + (k - 1) * node.inside(x)


def _self_outside(x: Written, c: Written, k: Scale, node: NodeStatistics) -> Written:
    return _resample_outside(x, x, k, node)


def _resample_inside(x: Written, c: Written, k: Scale, node: NodeStatistics) -> Written:
    return x - node.inside(x) + k * node.inside(c)


def _resample_outside(x: Written, c: Written, k: Scale, node: NodeStatistics) -> Written:
    return node.centre + node.inside(x) + k * (c - node.centre - node.inside(c))


@dataclass(frozen=True)
class Ablation:
    """A way to patch a node."""

    patch: Patch
    from_source: bool  # whether what is patched depends on the source
    positions: str = "all"  # by default


ABLATIONS: Mapping[str, Ablation] = {
    "resample": Ablation(_resample, from_source=True),
    "mean": Ablation(_mean, from_source=False),
    "zero": Ablation(_zero, from_source=False),
    "self-inside": Ablation(_self_inside, from_source=False, positions="after BOS"),
    "self-outside": Ablation(_self_outside, from_source=False, positions="after BOS"),
    "resample-inside": Ablation(_resample_inside, from_source=True, positions="after BOS"),
    "resample-outside": Ablation(_resample_outside, from_source=True, positions="after BOS"),
}


def load_ablation(name: str) -> Ablation:
    """An ablation by its name; raises UnknownNameError for a name that is not registered."""
    if name not in ABLATIONS:
        raise UnknownNameError("ablation", name, ABLATIONS)
    return ABLATIONS[name]
