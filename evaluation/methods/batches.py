"""So many runs at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.errors import MethodError
from knowncircuits.work.progress import reported


def batches(n: int, size: int, device: torch.device) -> Iterator[Int[Tensor, " row"]]:
    """0 to n - 1, so many at a time."""
    if size < 1:
        raise MethodError(f"expected a batch_size of at least 1, got {size}")
    yield from reported(torch.split(torch.arange(n, device=device), size))
