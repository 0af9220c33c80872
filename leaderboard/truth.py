"""The certified models that submissions are scored on: their circuits, without their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from knowncircuits.architecture import TransformerConfig
from knowncircuits.cases.registry import list_cases
from knowncircuits.circuit import Circuit
from knowncircuits.errors import InputError, ResultError
from knowncircuits.exchange import read_graph_file
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.identity import circuit_hash
from knowncircuits.models.choices import DEFAULT_ZOO, OWN, BoardZoo
from knowncircuits.models.trained import CERTIFICATE, CIRCUIT
from knowncircuits.models.zoo.shelf import Zoo, shipped


@dataclass(frozen=True, eq=False)
class Certified:
    """One certified model."""

    case: str
    variant: str
    circuit: Circuit
    sizes: TransformerConfig
    certificate: Certificate
    zoo: BoardZoo  # the release that it is of, or a user's own
    folder: Path  # where its files are

    @property
    def key(self) -> str:
        """`CASE/VARIANT`."""
        return f"{self.case}/{self.variant}"

    @property
    def weights(self) -> str:
        """The hash of the weights that were certified."""
        return self.certificate.weights


@cache
def certified_models(zoo: BoardZoo = DEFAULT_ZOO) -> Mapping[str, Certified]:
    """Every certified model of a release by its key, in the order of the registry of cases.

    Raises ResultError for a broken folder, a circuit that is not the certificate's, or the zoo
    `own`: whose models these are, `own_models` reads from their folder.
    """
    if zoo == OWN:
        raise ResultError("expected the folder of the user's own models (--zoo FOLDER), got none")
    of = shipped(zoo)
    found = [
        _read(of, name, variant, zoo)
        for name in list_cases("all")
        for variant in of.variants
        if of.holds(name, variant)
    ]
    return {model.key: model for model in found}


def own_models(zoo: Zoo) -> Mapping[str, Certified]:
    """Every certified model of a user's own zoo by its key, in the order of their names.

    Models without a certificate, or with one that lists failures, are left out. Their cases need
    not be known.

    Raises:
        InputError: where none is left.
        ResultError: for a broken folder, or a circuit that is not the certificate's.
    """
    there = zoo.among(zoo.cases, zoo.variants)
    found = [
        _read(zoo, name, variant, OWN)
        for name, variant in sorted(there)
        if (zoo.place(name, variant) / CERTIFICATE).exists()
    ]
    models = {model.key: model for model in found if not model.certificate.failures}
    if not models:
        raise InputError(f"expected certified models in {zoo.name}, got none")
    return models


def _read(zoo: Zoo, name: str, variant: str, named: BoardZoo) -> Certified:
    folder = zoo.place(name, variant)
    path = folder / CIRCUIT
    sizes, certificate = zoo.describe(name, variant)
    circuit = read_graph_file(path).circuit()
    if circuit_hash(circuit) != certificate.circuit:
        raise ResultError(f"{path}: expected the circuit of the certificate, got another")
    return Certified(name, variant, circuit, sizes, certificate, named, folder)
