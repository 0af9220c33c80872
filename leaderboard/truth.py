"""The certified models that submissions are scored on: their circuits, without their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from knowncircuits.architecture import TransformerConfig
from knowncircuits.cases.registry import list_cases
from knowncircuits.circuit import Circuit
from knowncircuits.errors import ResultError
from knowncircuits.exchange import read_graph_file
from knowncircuits.models.certificates.certificate import Certificate
from knowncircuits.models.certificates.identity import circuit_hash
from knowncircuits.models.choices import DEFAULT_ZOO, ZooVersion
from knowncircuits.models.trained import CIRCUIT
from knowncircuits.models.zoo.shelf import Zoo, shipped


@dataclass(frozen=True, eq=False)
class Certified:
    """One certified model."""

    case: str
    variant: str
    circuit: Circuit
    sizes: TransformerConfig
    certificate: Certificate
    zoo: ZooVersion  # the release that it is of

    @property
    def key(self) -> str:
        """`CASE/VARIANT`."""
        return f"{self.case}/{self.variant}"

    @property
    def weights(self) -> str:
        """The hash of the weights that were certified."""
        return self.certificate.weights


@cache
def certified_models(zoo: ZooVersion = DEFAULT_ZOO) -> Mapping[str, Certified]:
    """Every certified model of a zoo by its key, in the order of the registry of cases.

    Raises ResultError for a broken folder, or a circuit that is not the certificate's.
    """
    of = shipped(zoo)
    found = [
        _read(of, name, variant)
        for name in list_cases("all")
        for variant in of.variants
        if of.holds(name, variant)
    ]
    return {model.key: model for model in found}


def _read(zoo: Zoo, name: str, variant: str) -> Certified:
    path = zoo.place(name, variant) / CIRCUIT
    sizes, certificate = zoo.describe(name, variant)
    circuit = read_graph_file(path).circuit()
    if circuit_hash(circuit) != certificate.circuit:
        raise ResultError(f"{path}: expected the circuit of the certificate, got another")
    return Certified(name, variant, circuit, sizes, certificate, zoo.version)
