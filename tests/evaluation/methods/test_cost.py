"""Memory and seconds of work whose needs are known."""

from __future__ import annotations

import sys
from time import perf_counter

import pytest
import torch

from knowncircuits.evaluation.methods.cost import measure_cost

CPU = torch.device("cpu")
MEGABYTE = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much a process had")
def test_peak_memory_is_what_was_in_use_at_once() -> None:
    # A smaller piece of work after a larger one. Of several blocks in a row the allocator may keep
    # those that were freed, which then count; and it may have kept blocks of up to 32 MB before.
    for size in (128, 64):
        with measure_cost(CPU) as cost:
            block = torch.ones(size, MEGABYTE, dtype=torch.uint8)
            del block
        assert cost.peak_memory is not None
        assert size * 0.9 <= cost.peak_memory / MEGABYTE <= size + 8


def test_seconds_are_those_of_the_work() -> None:
    """However long it takes here: at least its own, and at most those of all around it."""
    start = perf_counter()
    with measure_cost(CPU) as cost:
        inside = perf_counter()
        torch.ones(1000).sum()
        work = perf_counter() - inside
    assert work <= cost.seconds <= perf_counter() - start
