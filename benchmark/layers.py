"""What transformers' layers are made of, apart from matrices: activations, norms, rotations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from knowncircuits.choices import Activation

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
}
ROTARY_BASE = 10_000.0


def future_keys(n_ctx: int, device: str | torch.device) -> Bool[Tensor, "n_ctx n_ctx"]:
    """The keys that causal attention hides from each query; on the meta device, sizes alone."""
    if torch.device(device).type == "meta":
        return torch.empty(n_ctx, n_ctx, dtype=torch.bool, device=device)
    return torch.ones(n_ctx, n_ctx, dtype=torch.bool, device="cpu").triu(1).to(device)


def rotations(
    n_ctx: int, d_head: int, dtype: torch.dtype, device: str | torch.device
) -> Float[Tensor, "2 3 n_ctx d_head"]:
    """Cosines and signed sines of the angles by which queries, keys and values are turned.

    Numbers next to each other are the two coordinates of a plane, as in RoFormer (Su et al., 2021):
    plane i is turned by position / ROTARY_BASE ** (2 i / d). Values are not turned, nor is the last
    number of an odd `d_head`. On the meta device there are sizes alone.
    """
    if torch.device(device).type == "meta":
        return torch.empty(2, 3, n_ctx, d_head, dtype=dtype, device=device)
    planes = d_head // 2
    rates = ROTARY_BASE ** -(torch.arange(planes, dtype=torch.float64, device="cpu") / planes)
    angles = torch.arange(n_ctx, dtype=torch.float64, device="cpu")[:, None] * rates
    turns = torch.zeros(2, 3, n_ctx, d_head, dtype=torch.float64, device="cpu")
    turns[0] = 1.0
    even, odd = slice(0, 2 * planes, 2), slice(1, 2 * planes, 2)
    turns[0, :2, :, even] = turns[0, :2, :, odd] = angles.cos()
    turns[1, :2, :, even], turns[1, :2, :, odd] = -angles.sin(), angles.sin()
    return turns.to(dtype=dtype, device=device)


def turned(
    x: Float[Tensor, "*batch seq d_head"], turns: Float[Tensor, "2 *shared seq d_head"]
) -> Float[Tensor, "*batch seq d_head"]:
    """Each plane of two numbers turned by its angle; see `rotations`."""
    cosines, sines = turns
    d_head = x.shape[-1]
    others = torch.arange(d_head, device=x.device) ^ 1  # the other coordinate of each plane
    rotated: Tensor = x * cosines + x[..., others.clamp(max=d_head - 1)] * sines
    return rotated
