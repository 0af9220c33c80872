"""The variants: the several models of a case, which differ in seeds and in placement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

from knowncircuits.errors import UnknownNameError
from knowncircuits.models.choices import ZooVersion


@dataclass(frozen=True)
class Variant:
    """One of several models of a case."""

    seed: int  # of weights, inputs and drawn edges
    placed: Literal["by names", "by seed", "by case and seed"] = "by case and seed"

    def shuffle(self, case: str) -> int | None:
        """The seed of its random placement; None where nodes are at those of the same names."""
        if self.placed == "by names":
            return None
        # So that one seed does not put the circuits of all cases at the same heads.
        return self.seed if self.placed == "by seed" else crc32(f"{case}/{self.seed}".encode())


VARIANTS: Mapping[ZooVersion, Mapping[str, Variant]] = {
    1: {
        "seed0": Variant(0, "by names"),
        "seed1": Variant(1, "by names"),
        "shuffled": Variant(2, "by seed"),
    },
    2: {"seed0": Variant(0), "seed1": Variant(1), "seed2": Variant(2)},
}


def check_variant(variant: str, zoo: ZooVersion) -> None:
    """Raise UnknownNameError, with the close names, for a variant that a zoo does not have."""
    if variant not in VARIANTS[zoo]:
        raise UnknownNameError(f"variant of zoo {zoo}", variant, VARIANTS[zoo])
