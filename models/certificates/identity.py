"""SHA-256 of all that a certificate is about: it holds for these things together and no others."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

from knowncircuits.architecture import TransformerConfig
from knowncircuits.circuit import Circuit
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.transformer import weights_hash

# The dtype of trained models, and of the compiled ones that they are certified against.
TRAINED_DTYPE = torch.float32


def identity(placed: Placed) -> dict[str, str]:
    """A hash for each part, by the names of the certificate's fields."""
    return {
        "weights": weights_hash(placed.model),
        "configuration": configuration_hash(placed.model.config),
        "placement": _digest(dict(placed.correspondence.nodes)),
        "circuit": circuit_hash(placed.circuit),
        "compiled_weights": compiled_hash(placed.compiled),
    }


def compiled_hash(compiled: Compiled) -> str:
    """The hash of a compiled model's weights in TRAINED_DTYPE, in whatever dtype it is."""
    return weights_hash(compiled.to(dtype=TRAINED_DTYPE).model)


def configuration_hash(config: TransformerConfig) -> str:
    """The hash of sizes and choices."""
    return _digest(config.document())


def circuit_hash(circuit: Circuit) -> str:
    """The hash of every edge's label and what it carries."""
    return _digest(
        {
            edge: [circuit.label(edge).name.lower(), *circuit.carries.get(edge, ())]
            for edge in circuit.graph.edges
        }
    )


def _digest(document: dict[str, Any]) -> str:
    """The hash of the document as JSON without spaces, in order of its keys."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
