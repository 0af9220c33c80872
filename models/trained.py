"""A trained model with all that belongs to it, in memory and in its folder.

The folder holds `config.json`, `model.safetensors`, `circuit.json` (EAP-IG's format) and, once it
is certified, `certificate.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from knowncircuits.cases import Case, load_case
from knowncircuits.circuit import Circuit
from knowncircuits.compiler import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ResultError
from knowncircuits.exchange import graph_file, write_bytes, write_graph_file, write_text
from knowncircuits.models.certificate import Certificate, read_certificate
from knowncircuits.transformer import Transformer, TransformerConfig, weights_hash

# TransformerLens takes three seconds to import; a model loads in a hundredth of that without it.
if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from knowncircuits.models.hooked import HookedTwin


# Of trained models, and of the compiled ones that they follow and are certified against.
TRAINED_DTYPE = torch.float32


@dataclass(frozen=True, eq=False)
class Trained:
    """An ordinary transformer that was trained to share a compiled model's circuit."""

    model: Transformer
    compiled: Compiled
    correspondence: Correspondence
    certificate: Certificate | None = None  # what was measured of these very weights
    # How it was made, as plain data: `config`, TrainingConfig's fields, and the `steps` it took.
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """The case that it computes."""
        return load_case(self.compiled.name)

    @property
    def circuit(self) -> Circuit:
        """The circuit that it was trained to have."""
        return self.correspondence.circuit

    def to_transformer_lens(self) -> TransformerBridge:
        """A native TransformerLens bridge; see `knowncircuits.models.bridge`."""
        from knowncircuits.models.bridge import to_transformer_lens

        return to_transformer_lens(self.model)

    def to_hooked(self) -> HookedTwin:
        """A module with HookedTransformer's hooks; see `knowncircuits.models.hooked`."""
        from knowncircuits.models.hooked import to_hooked

        return to_hooked(self.model)


def save_trained(trained: Trained, folder: Path) -> None:
    """Write the model's folder, each file whole; raises ResultError if that fails."""
    from safetensors.torch import save

    config = {
        "case": trained.compiled.name,
        "placement": dict(trained.correspondence.nodes),
        "transformer": asdict(trained.model.config),
        "training": dict(trained.training),
    }
    state = {name: t.detach().cpu().contiguous() for name, t in trained.model.state_dict().items()}
    write_text(folder / "config.json", json.dumps(config, indent=1) + "\n")
    write_bytes(folder / "model.safetensors", save(state))
    circuit = graph_file(
        trained.circuit.graph, circuit=trained.circuit, d_model=trained.model.config.d_model
    )
    write_graph_file(circuit, folder / "circuit.json")
    if trained.certificate is not None:
        trained.certificate.write(folder / "certificate.json")


def load_trained(folder: Path) -> Trained:
    """Read a model's folder.

    Raises:
        ResultError: for files that are missing or broken, or a certificate of other weights.
        UnknownNameError: for a case that there is not.
    """
    from safetensors.torch import load_file

    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        compiled = load_case(config["case"]).compile(dtype=TRAINED_DTYPE)
        state = load_file(folder / "model.safetensors")
        model = Transformer(TransformerConfig(**config["transformer"]), dtype=state["W_E"].dtype)
        model.load_state_dict(state)
        correspondence = Correspondence(compiled.circuit, model.graph, config["placement"])
        training = dict(config.get("training", {}))  # older folders have none
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ResultError(f"{folder}: expected the folder of a trained model: {error}") from error
    certificate = None
    if (folder / "certificate.json").exists():
        certificate = read_certificate(folder / "certificate.json")
        if certificate.weights != weights_hash(model):
            raise ResultError(
                f"{folder}: expected a certificate of weights {weights_hash(model)[:12]}, got one "
                f"of {certificate.weights[:12]}"
            )
    return Trained(model.requires_grad_(False), compiled, correspondence, certificate, training)


def as_trained(
    model: Transformer,
    compiled: Compiled,
    correspondence: Correspondence,
    training: Mapping[str, Any] | None = None,
) -> Trained:
    """A model that is done training: on the CPU and without gradients."""
    frozen = Transformer(model.config, dtype=model.dtype)
    with torch.no_grad():
        frozen.load_state_dict(model.state_dict())
    frozen.requires_grad_(False)
    return Trained(frozen, compiled, correspondence, training=training or {})
