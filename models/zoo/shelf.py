"""Where certified models stand, how they are found, and what is said of those that are missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from knowncircuits.architecture import TransformerConfig
from knowncircuits.cases.registry import list_cases, load_case
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import InputError, ModelError, ResultError
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import write_text
from knowncircuits.models.certificates.certificate import Certificate, read_certificate
from knowncircuits.models.certificates.identity import configuration_hash
from knowncircuits.models.choices import DEFAULT_ZOO, ZooVersion
from knowncircuits.models.trained import (
    CERTIFICATE,
    CONFIG,
    Trained,
    load_trained,
    read_description,
)
from knowncircuits.models.zoo.variants import VARIANTS, Variant, check_variant

# What training of one case and variant came to that did not end in a certificate.
Attempt = Mapping[str, Any]
MISSING = TypeAdapter(dict[str, dict[str, list[Attempt]]])  # by case and variant


@dataclass(frozen=True)
class Zoo:
    """A folder of certified models, CASE/VARIANT, and of `missing.json`: those that are not."""

    folder: Path
    version: ZooVersion = DEFAULT_ZOO  # which variants there may be, and by which recipes

    @property
    def variants(self) -> Mapping[str, Variant]:
        """Those that its models may be of."""
        return VARIANTS[self.version]

    @property
    def recipes(self) -> Path:
        """The file of what departs from the defaults in the training of its models."""
        return self.folder / "recipes.json"

    def place(self, name: str, variant: str) -> Path:
        """Where a model is, if there is one."""
        return self.folder / name / variant

    def holds(self, name: str, variant: str) -> bool:
        """Whether there is one."""
        return (self.place(name, variant) / CONFIG).exists()

    def among(self, names: Sequence[str], variants: Sequence[str]) -> list[tuple[str, str]]:
        """Those models of cases that there are, variant by variant."""
        return [(name, kind) for kind in variants for name in names if self.holds(name, kind)]

    def names(self, suite: str = "all", variant: str = "seed0") -> list[str]:
        """The cases of a suite that have a model of this variant."""
        check_variant(variant, self.version)
        return [name for name in list_cases(suite) if self.holds(name, variant)]

    def load(self, name: str, variant: str = "seed0") -> Trained:
        """The model of a case.

        Raises:
            UnknownNameError: for an unknown case or variant, with the close names.
            ModelError: for a case that has no such model, with the reason as far as it is known.
            ResultError: for a broken folder, or a certificate of other weights.
        """
        load_case(name)
        check_variant(variant, self.version)
        if not self.holds(name, variant):
            raise ModelError(self._absence(name, variant))
        return load_trained(self.place(name, variant))

    def describe(self, name: str, variant: str) -> tuple[TransformerConfig, Certificate]:
        """A model's sizes and certificate without the model; ResultError for broken files."""
        folder = self.place(name, variant)
        sizes = read_description(folder / CONFIG).transformer
        certificate = read_certificate(folder / CERTIFICATE)
        if certificate.configuration != configuration_hash(sizes):
            raise ResultError(
                f"{folder}: expected the configuration of the certificate, got another"
            )
        return sizes, certificate

    def missing(self) -> dict[str, dict[str, list[Attempt]]]:
        """For cases and variants that were tried in vain every attempt, the best one first.

        One of no steps says why nothing was tried.

        Raises ResultError for a broken file.
        """
        path = self.folder / "missing.json"
        if not path.exists():
            return {}
        return read_as(MISSING, path, "attempts by case and variant")

    def write_missing(self, missing: Mapping[str, Mapping[str, list[Attempt]]]) -> None:
        """Replace the list, whole or not at all; raises ResultError if that fails."""
        left = {case: found for case, found in sorted(missing.items()) if found}
        write_text(self.folder / "missing.json", json.dumps(left, indent=1, allow_nan=False) + "\n")

    def _absence(self, name: str, variant: str) -> str:
        others = [other for other in self.variants if self.holds(name, other)]
        there = f" (but {', '.join(others)})" if others else ""
        best = next(iter(self.missing().get(name, {}).get(variant, [])), {})
        reason, untried = best.get("reason"), best.get("steps") == 0
        tried = f"; {'' if untried else 'tried in vain: '}{reason} (missing.json)" if reason else ""
        return (
            f"there is no trained model {variant} of {name} in zoo {self.version}{there}{tried}; "
            f"`knowncircuits train {name}` trains one"
        )


def shipped(zoo: ZooVersion = DEFAULT_ZOO) -> Zoo:
    """The models that come with the package, of one release; InputError for another number."""
    if zoo not in get_args(ZooVersion):
        raise InputError(f"expected zoo {' or '.join(map(str, get_args(ZooVersion)))}, got {zoo!r}")
    return Zoo(Path(__file__).parents[1] / f"zoo{zoo}", zoo)


@takes(name=str, variant=str, zoo=int)
def load_model(name: str, variant: str = "seed0", zoo: ZooVersion = DEFAULT_ZOO) -> Trained:
    """A shipped model: certified, and loaded in milliseconds from the package; see `Zoo.load`.

    Raises InputError for a zoo that there is not.
    """
    return shipped(zoo).load(name, variant)


@takes(suite=str, variant=str, zoo=int)
def list_models(
    suite: str = "all", variant: str = "seed0", zoo: ZooVersion = DEFAULT_ZOO
) -> list[str]:
    """The cases of a suite of which a model of this variant is shipped.

    Raises UnknownNameError for an unknown suite or variant, InputError for another zoo.
    """
    return shipped(zoo).names(suite, variant)
