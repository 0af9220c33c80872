"""Executors by their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knowncircuits.errors import InputError
from knowncircuits.work.choices import ExecutorName
from knowncircuits.work.executor import HERE, Executor

MOST_HERE = 64  # processes of one machine


def choose_executor(name: ExecutorName, n: int, options: Mapping[str, Any]) -> Executor:
    """An executor of so many jobs at a time.

    Args:
        name: of `local` one job at a time is this process.
        n: jobs at a time.
        options: of `slurm` what submitit takes, and `cluster` and `folder`; see `Slurm`. Of `ray`
            what its actors take, and `address`; see `Actors`.

    Raises InputError for options that there are not, MissingExtraError where a package is missing.
    """
    if name == "slurm":
        from knowncircuits.work.slurm import Slurm

        given = dict(options)
        own = {key: given.pop(key) for key in ("cluster", "folder") if key in given}
        if "folder" in own:
            own["folder"] = Path(str(own["folder"]))
        return Slurm(n, given, **own)
    if name == "ray":
        from knowncircuits.work.actors import Actors

        given = dict(options)
        address = given.pop("address", None)
        return Actors(n, given, None if address is None else str(address))
    if options:
        raise InputError(f"expected no --executor-option with local, got {', '.join(options)}")
    if n > MOST_HERE:
        raise InputError(f"expected at most {MOST_HERE} jobs on one machine, got {n}")
    from knowncircuits.work.processes import Processes

    return HERE if n == 1 else Processes(n)
