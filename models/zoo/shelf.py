"""Where certified models stand, how they are found, and what is said of those that are missing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from knowncircuits.architecture import TransformerConfig
from knowncircuits.cases.registry import list_cases, load_case
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import InputError, ModelError, ResultError, UnknownNameError
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import write_text
from knowncircuits.models.certificates.certificate import Certificate, read_certificate
from knowncircuits.models.certificates.identity import configuration_hash
from knowncircuits.models.choices import DEFAULT_ZOO, OWN_ZOO, ZooVersion
from knowncircuits.models.trained import (
    CERTIFICATE,
    CONFIG,
    Trained,
    load_trained,
    read_description,
)
from knowncircuits.models.zoo.variants import VARIANTS, check_variant

# What training of one case and variant came to that did not end in a certificate.
Attempt = Mapping[str, Any]
MISSING = TypeAdapter(dict[str, dict[str, list[Attempt]]])  # by case and variant


@dataclass(frozen=True)
class Zoo:
    """A folder of certified models, CASE/VARIANT, and of `missing.json`: those that are not."""

    folder: Path
    version: ZooVersion = DEFAULT_ZOO  # which variants there may be, and by which recipes
    own: bool = False  # a user's, whose variants and cases are those that there are

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the zoo {self.folder}" if self.own else f"zoo {self.version}"

    @property
    def variants(self) -> tuple[str, ...]:
        """Those that its models may be of."""
        if self.own:
            return tuple(dict.fromkeys(variant for _, variant in self._there()))
        return tuple(VARIANTS[self.version])

    @property
    def cases(self) -> tuple[str, ...]:
        """The names of the cases that folders say there are models of, known here or not."""
        return tuple(dict.fromkeys(name for name, _ in self._there()))

    def check_variant(self, variant: str) -> None:
        """Raise UnknownNameError, with the close names, for a variant that it cannot have."""
        if not self.own:
            check_variant(variant, self.version)
        elif variant not in self.variants:
            raise UnknownNameError(f"variant of {self.name}", variant, self.variants)

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
        self.check_variant(variant)
        return [name for name in list_cases(suite) if self.holds(name, variant)]

    def load(self, name: str, variant: str = "seed0") -> Trained:
        """The model of a case.

        Raises:
            UnknownNameError: for an unknown case or variant, with the close names.
            ModelError: for a case that has no such model, with the reason as far as it is known.
            ResultError: for a broken folder, or a certificate of other weights.
        """
        load_case(name)
        self.check_variant(variant)
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

    def _there(self) -> list[tuple[str, str]]:
        found = sorted(path.parent for path in self.folder.glob(f"*/*/{CONFIG}"))
        return [(path.parent.name, path.name) for path in found]

    def _absence(self, name: str, variant: str) -> str:
        others = [other for other in self.variants if self.holds(name, other)]
        there = f" (but {', '.join(others)})" if others else ""
        best = next(iter(self.missing().get(name, {}).get(variant, [])), {})
        reason, untried = best.get("reason"), best.get("steps") == 0
        tried = f"; {'' if untried else 'tried in vain: '}{reason} (missing.json)" if reason else ""
        return (
            f"there is no trained model {variant} of {name} in {self.name}{there}{tried}; "
            f"`knowncircuits train {name}` trains one"
        )


def shipped(zoo: ZooVersion = DEFAULT_ZOO) -> Zoo:
    """The models that come with the package, of one release; InputError for another number."""
    if zoo not in get_args(ZooVersion):
        raise InputError(f"expected zoo {' or '.join(map(str, get_args(ZooVersion)))}, got {zoo!r}")
    return Zoo(Path(__file__).parents[1] / f"zoo{zoo}", zoo)


def find_zoo(zoo: ZooVersion | str | Path | None = None) -> Zoo:
    """A zoo: a release of ours, by its number, or a folder of one's own models.

    By default what the environment variable `KNOWNCIRCUITS_ZOO` says, and else the default release.
    A model in a folder is at CASE/VARIANT, as `save_trained` writes it.

    Raises InputError for a number or a folder that there is not.
    """
    if zoo is None:
        zoo = os.environ.get(OWN_ZOO) or DEFAULT_ZOO
    if isinstance(zoo, int):
        return shipped(zoo)
    if str(zoo) in map(str, get_args(ZooVersion)):
        return shipped(int(str(zoo)))  # type: ignore[arg-type]  # one of them
    folder = Path(zoo)
    if not folder.is_dir():
        releases = ", ".join(map(str, get_args(ZooVersion)))
        raise InputError(f"expected zoo {releases} or a folder of models, got {str(zoo)!r}")
    return Zoo(folder, get_args(ZooVersion)[-1], own=True)


@takes(name=str, variant=str, zoo=int | str | Path | None)
def load_model(
    name: str, variant: str = "seed0", zoo: ZooVersion | str | Path | None = None
) -> Trained:
    """A shipped model, or one of one's own zoo: certified, and loaded in milliseconds.

    Args:
        name: of its case; a user's own is made known by `add_case`.
        variant: which of the case's models.
        zoo: a release or a folder; see `find_zoo`.

    Raises InputError for a zoo that there is not, and as `Zoo.load` does.
    """
    return find_zoo(zoo).load(name, variant)


@takes(suite=str, variant=str, zoo=int | str | Path | None)
def list_models(
    suite: str = "all", variant: str = "seed0", zoo: ZooVersion | str | Path | None = None
) -> list[str]:
    """The cases of a suite of which a zoo has a model of this variant; see `find_zoo`.

    Raises UnknownNameError for an unknown suite or variant, InputError for another zoo.
    """
    return find_zoo(zoo).names(suite, variant)
