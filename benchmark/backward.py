"""Backward rules: what gradients do inside a run in place of what calculus says.

Values stay as they are, to the bit: a rule puts a *surrogate* beside a value, and gradients flow
through the surrogate alone. Methods that change the backward pass (LRP, GIM, GradDrop) are such
rules and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from knowncircuits.errors import ModelError

SCALES = ("queries", "keys", "values", "gates")


@dataclass(frozen=True)
class BackwardRules:
    """How `run` hands gradients on; by default as calculus has it.

    Raises ModelError for a temperature that is not positive, or a scale below zero.
    """

    # The scale of a LayerNorm or RMSNorm is a constant: the LN-rule of LRP (Ali et al., 2022).
    frozen_norms: bool = False
    # Attention patterns are constants: the AH-rule of LRP (Ali et al., 2022).
    frozen_patterns: bool = False
    # Softmax hands gradients on as if its scores were so many times smaller (Edin et al., 2025).
    temperature: float = 1.0
    # An activation f(x) is x times the constant f(x) / x: the identity rule (Jafari et al., 2024).
    linear_activations: bool = False
    # The share that is handed on of gradients of queries, keys and values, and of those of both
    # factors of a gated MLP's product. A half for each of these factors is the half rule.
    queries: float = 1.0
    keys: float = 1.0
    values: float = 1.0
    gates: float = 1.0
    # What this layer's heads and MLP write hands on no gradient: GradDrop (Kramár et al., 2024).
    dropped_layer: int | None = None

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ModelError(f"expected a temperature above 0, got {self.temperature}")
        for name in SCALES:
            if getattr(self, name) < 0:
                raise ModelError(f"expected {name} of at least 0, got {getattr(self, name)}")


PLAIN = BackwardRules()


def passing(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value, with the gradient of the surrogate."""
    return value.detach() + (surrogate - surrogate.detach())


def scaled(value: Tensor, share: float) -> Tensor:
    """The value, of whose gradient a share is handed on."""
    return value if share == 1 else passing(value, share * value)


def frozen(x: Tensor, normed: Tensor, weight: Tensor, eps: float, *, centred: bool) -> Tensor:
    """What a norm makes of x, with the gradient that it has where its scale is a constant."""
    x = x - x.mean(-1, keepdim=True) if centred else x
    scale = (x.detach().square().mean(-1, keepdim=True) + eps).sqrt()
    return passing(normed, x / scale * weight)


def tempered(pattern: Tensor, scores: Tensor, temperature: float, dim: int) -> Tensor:
    """A softmax with the gradient it has at scores so many times smaller.

    As its authors have it, the gradient is not divided by the temperature.
    """
    return passing(pattern, temperature * (scores / temperature).softmax(dim))


def linear(x: Tensor, value: Tensor) -> Tensor:
    """f(x) with the constant f(x) / x for a gradient, which is 0 at x = 0."""
    ratio = torch.where(x == 0, torch.zeros_like(x), value / x)
    return passing(value, x * ratio.detach())
