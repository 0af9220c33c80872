"""What tests let processes do: in a module that these can import, however pytest is started."""

from __future__ import annotations

import os
import signal
import time
from hashlib import sha256
from pathlib import Path

from knowncircuits.work.progress import part, report, reported


class OwnError(Exception):
    """One that pickle can write and not read."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def square(n: int) -> int:
    if n == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 3:
        raise OwnError(1, 2)
    return n * n


def digest(log_and_number: tuple[str, int]) -> dict[str, str]:
    """A few milliseconds of work; the log says that it has begun."""
    log, n = log_and_number
    with Path(log).open("a") as file:
        file.write(f"{n}\n")
    found = str(n).encode()
    for _ in range(5_000):
        found = sha256(found).digest()
    return {"number": str(n), "digest": found.hex()}


def late(log_and_number: tuple[str, int]) -> int:
    """A square, a second later; the log says that it has begun, and where."""
    log, n = log_and_number
    with Path(log).open("a") as file:
        file.write(f"{n}:{os.getpid()}\n")
    time.sleep(1.0)
    return n * n


def held(place_and_number: tuple[str, int]) -> int:
    """A square, once no file `hold` is there; the log beside it says where it has begun."""
    place, n = place_and_number
    with Path(place, "log").open("a") as file:
        file.write(f"{n}:{os.getpid()}\n")
    while Path(place, "hold").exists():
        time.sleep(0.05)
    return n * n


def torch_threads(n: int) -> int:
    import torch

    return torch.get_num_threads()


def count_to(n: int) -> int:
    with part(f"to {n}"):
        for _ in reported(range(n)):
            pass
        report(n, n, "all of them")
    return os.getpid()
