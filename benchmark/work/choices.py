"""What can be chosen of long work; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

ExecutorName = Literal["local", "slurm", "ray"]  # who does the jobs
