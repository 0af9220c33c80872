"""What a run does to every model; light, since the command line's help reads the defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from knowncircuits.errors import InputError
from knowncircuits.evaluation.choices import Ablation


@dataclass(frozen=True)
class Settings:
    """What a run does to every model: with equal settings and seeds the scores are identical."""

    method: str
    n_pairs: int | None = None  # by default as many as the case says
    metric: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    corruption: str = "resample"
    ablation: Ablation = "resample"
    label: str = ""  # what results are called, where not by the method
    threads: int = 1  # of torch, whatever OMP_NUM_THREADS says
    device: str = "cpu"  # where models run

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.+-]*", self.name):
            raise InputError(
                f"expected a label of letters, digits and . + - _ only, got {self.name!r}"
            )
        if self.threads < 1:
            raise InputError(f"expected at least one thread, got {self.threads}")

    @property
    def name(self) -> str:
        """The label, or the method's name with a dot in place of a colon.

        A method `path/to/file.py:function` has the file's name alone.
        """
        module, colon, function = self.method.rpartition(":")
        if module.endswith(".py"):
            module = PurePath(module).stem
        return self.label or (f"{module}.{function}" if colon else self.method)
