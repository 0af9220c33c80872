"""Tensors and gradients that do not depend on which modes of torch the caller has switched on.

What `torch.inference_mode` makes is refused by autograd for good, so nothing that is kept may be
made there; and gradients are recorded where they are needed, whoever has switched them off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def recorded_gradients() -> Iterator[None]:
    """Record gradients inside, under `no_grad`, `set_grad_enabled(False)` or `inference_mode`."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Make tensors that gradients can flow through later, even under `inference_mode`."""
    recorded = torch.is_grad_enabled()
    # Leaving inference mode switches gradients on, too.
    with torch.inference_mode(False), torch.set_grad_enabled(recorded):
        yield


def ordinary(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of one that was made under `inference_mode`."""
    if not tensor.is_inference():
        return tensor
    with ordinary_tensors():
        return tensor.clone()


def make_ordinary(module: nn.Module) -> None:
    """Replace weights that were loaded, cast or moved under `inference_mode` by ordinary copies."""
    copies: dict[Tensor, Tensor] = {}  # tied weights stay tied

    def copy(tensor: Tensor) -> Tensor:
        if tensor not in copies:
            copies[tensor] = ordinary(tensor.detach())
        return copies[tensor]

    for part in module.modules():
        for name, weight in [*part.named_parameters(recurse=False)]:
            if weight.is_inference():
                setattr(part, name, nn.Parameter(copy(weight), weight.requires_grad))
        for name, buffer in [*part.named_buffers(recurse=False)]:
            if buffer.is_inference():
                setattr(part, name, copy(buffer))
