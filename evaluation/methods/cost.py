"""What a run costs beside its passes: seconds, and memory beyond what was in use before."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

PROCESS = Path("/proc/self")  # Linux's account of this process


@dataclass
class Cost:
    """Filled in when the work is done."""

    seconds: float = 0.0
    peak_memory: int | None = None  # bytes; None where the system does not say


@contextmanager
def measure_cost(device: torch.device) -> Iterator[Cost]:
    """The cost of the work inside, on the CPU or on a GPU.

    On a GPU memory is what torch had allocated at most; on the CPU, the most of the process that
    was in memory at once, which Linux alone can be asked for. What was in use before is taken off.
    """
    cost = Cost()
    before = _reset_peak(device)
    start = time.perf_counter()
    yield cost
    _wait(device)
    cost.seconds = time.perf_counter() - start
    peak = _peak(device)
    if before is not None and peak is not None:
        cost.peak_memory = max(0, peak - before)


def _reset_peak(device: torch.device) -> int | None:
    """Start the account anew; returns what is in use now."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    try:
        # What was freed but not given back yet would be used again without being seen.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        (PROCESS / "clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    return _status("VmRSS")


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM")


def _status(name: str) -> int | None:
    """A number of bytes in /proc/self/status, which has it in units of 1,024."""
    try:
        lines = (PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")]
    return found[0] if found else None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
