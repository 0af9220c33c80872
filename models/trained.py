"""A trained model with all that belongs to it, in memory and in its folder.

The folder holds `config.json`, `model.safetensors`, `circuit.json` (EAP-IG's format) and, once it
is certified, `certificate.json`, which holds hashes of all that it is about. They are compared
whenever a model is loaded. Weights may be stored in 16 bits, and are float32 once they are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter
from torch import Tensor

from knowncircuits.architecture import TransformerConfig, from_document
from knowncircuits.cases.case import Case
from knowncircuits.cases.registry import load_case
from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import GraphError, ModelError, ResultError, UnknownNameError
from knowncircuits.exchange import graph_file, write_graph_file
from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import whole_folder, write_bytes, write_text
from knowncircuits.models.certificates.certificate import Certificate, read_certificate
from knowncircuits.models.certificates.identity import TRAINED_DTYPE, identity
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.choices import Storage
from knowncircuits.models.interop.tensors import check_sizes, read_safetensors, transformer_of
from knowncircuits.shown import Card, Shown, Table
from knowncircuits.transformer import Transformer, weights_hash

# TransformerLens takes three seconds to import; a model loads in a hundredth of that without it.
if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from knowncircuits.models.interop.hooked import HookedTwin


CONFIG, WEIGHTS = "config.json", "model.safetensors"
CIRCUIT, CERTIFICATE = "circuit.json", "certificate.json"
FILES = (CONFIG, WEIGHTS, CIRCUIT, CERTIFICATE)

MAX_CONFIG = 2**20  # bytes

STORAGES: Mapping[Storage, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

OF_OWN_CASES = (
    "A case of your own is given beside its model: -c FILE.py:CASE, or in Python "
    "load_trained(folder, case=case)"
)


@dataclass(frozen=True, eq=False, repr=False)
class Trained(Shown):
    """An ordinary transformer that was trained to share a compiled model's circuit."""

    placed: Placed
    certificate: Certificate | None = None  # what was measured of these very weights
    # How it was made, as plain data: `config`, TrainingConfig's fields, and the `steps` it took.
    training: Mapping[str, Any] = field(default_factory=dict)

    def _card(self) -> Card:
        certified = "not certified"
        if self.certificate is not None and self.certificate.passed:
            certified = "certified"
        facts = (self.circuit.graph.summary(), self.circuit.label_counts(), certified)
        return Card(self.compiled.name, facts, self._tables)

    def _tables(self) -> list[Table]:
        measured = [] if self.certificate is None else self.certificate._tables()
        return [*measured, *self.circuit._tables()]

    @property
    def model(self) -> Transformer:
        """The transformer that was trained."""
        return self.placed.model

    @property
    def compiled(self) -> Compiled:
        """The compiled model that it is to be like."""
        return self.placed.compiled

    @property
    def correspondence(self) -> Correspondence:
        """Which of its edges stand for which compiled ones."""
        return self.placed.correspondence

    @property
    def case(self) -> Case:
        """The case that it computes."""
        case = self.compiled.case
        return case if isinstance(case, Case) else load_case(self.compiled.name)

    @property
    def circuit(self) -> Circuit:
        """The circuit that it was trained to have."""
        return self.placed.circuit

    def to(
        self, *, dtype: torch.dtype | None = None, device: str | torch.device | None = None
    ) -> Trained:
        """The same with a copy of the model in another dtype or on another device, if it is one.

        A certificate is of the weights as they were trained: in another dtype there is none.
        """
        model = self.model
        dtype, device = dtype or model.dtype, torch.device(device or model.device)
        if (dtype, device) == (model.dtype, model.device):
            return self
        placed = replace(
            self.placed,
            model=deepcopy(model).to(device=device, dtype=dtype),
            compiled=self.compiled.to(device=device),
        )
        certificate = self.certificate if dtype == model.dtype else None
        return replace(self, placed=placed, certificate=certificate)

    def rounded(self, storage: Storage) -> Trained:
        """The same with float32 weights as they are when they have been stored so.

        A certificate is of the weights as they are stored: where any moves there is none.
        Raises ModelError for weights beyond the range of float16.
        """
        dtype = _storage(storage)
        model = deepcopy(self.model)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                rounded = weight.to(dtype)
                if not rounded.isfinite().all():
                    most, got = torch.finfo(dtype).max, float(weight.abs().max())
                    raise ModelError(
                        f"expected weights of at most {most:g} for {storage}, got {got:g} in {name}"
                    )
                weight.copy_(rounded)
        same = weights_hash(model) == weights_hash(self.model)
        placed = replace(self.placed, model=model.to(dtype=TRAINED_DTYPE))
        return replace(self, placed=placed, certificate=self.certificate if same else None)

    def to_transformer_lens(self) -> TransformerBridge:
        """A native TransformerLens bridge; see `knowncircuits.models.interop.bridge`."""
        from knowncircuits.models.interop.bridge import to_transformer_lens

        return to_transformer_lens(self.model)

    def to_hooked(self) -> HookedTwin:
        """A module with HookedTransformer's hooks; see `knowncircuits.models.interop.hooked`."""
        from knowncircuits.models.interop.hooked import to_hooked

        return to_hooked(self)


@takes(trained=Trained, folder=str | Path)
def save_trained(trained: Trained, folder: str | Path, *, storage: Storage | None = None) -> None:
    """Write the model's folder whole, by one rename; other files that are there stay.

    Args:
        trained: the model.
        folder: its folder.
        storage: the type that weights are stored in, which must hold them as they are: those of
            `trained.rounded(storage)`, of which the certificate is then measured. By default the
            type that they have.

    Raises:
        ModelError: for weights that the type does not hold exactly.
        ResultError: if the folder cannot be written.
    """
    from safetensors.torch import save

    config = {
        "case": trained.compiled.name,
        "placement": dict(trained.correspondence.nodes),
        "transformer": trained.model.config.document(),
        "training": dict(trained.training),
    }
    state = {name: t.detach().cpu().contiguous() for name, t in trained.model.state_dict().items()}
    if storage is not None:
        state = {name: _exactly(name, weight, storage) for name, weight in state.items()}
    circuit = graph_file(
        trained.circuit.graph, circuit=trained.circuit, d_model=trained.model.config.d_model
    )
    with whole_folder(Path(folder), FILES.__contains__) as new:
        write_text(new / CONFIG, json.dumps(config, indent=1) + "\n", lasting=False)
        write_bytes(new / WEIGHTS, save(state), lasting=False)
        write_graph_file(circuit, new / CIRCUIT)
        if trained.certificate is not None:
            trained.certificate.write(new / CERTIFICATE)


def _storage(storage: Storage) -> torch.dtype:
    if storage not in STORAGES:
        raise ModelError(f"expected weights stored as {', '.join(STORAGES)}, got {storage!r}")
    return STORAGES[storage]


def _exactly(name: str, weight: Tensor, storage: Storage) -> Tensor:
    """The same in another type; raises ModelError where any number would be another one."""
    stored = weight.to(_storage(storage))
    if not torch.equal(stored.to(weight.dtype), weight):
        raise ModelError(
            f"expected weights that {storage} holds exactly, as trained.rounded({storage!r}) has "
            f"them, got others in {name}"
        )
    return stored


@takes(folder=str | Path, case=Case | None)
def load_trained(
    folder: str | Path, *, certified: bool = True, case: Case | None = None
) -> Trained:
    """Read a model's folder.

    Args:
        folder: what `save_trained` wrote.
        certified: read the certificate too, if there is one.
        case: that the model is of, where it is the user's own; by default the one whose name the
            folder says. A folder's name of a case imports nothing: see `load_case`.

    Raises:
        ResultError: for files that are missing or broken, or a certificate of anything else, or
            a model of another case.
        UnknownNameError: for a case that there is not.
    """
    folder = Path(folder)
    try:
        description = read_description(folder / CONFIG)
        compiled = case_of(description.case, case).compile(dtype=TRAINED_DTYPE)
        weights = {name: _widened(t) for name, t in read_safetensors(folder / WEIGHTS).items()}
        model = transformer_of(description.transformer, weights)
        correspondence = Correspondence(compiled.circuit, model.graph, description.placement)
        placed = Placed(model.requires_grad_(False), compiled, correspondence)
    except (GraphError, ModelError, ResultError) as error:
        raise ResultError(f"{folder}: expected the folder of a trained model: {error}") from error
    certificate = None
    if certified and (folder / CERTIFICATE).exists():
        certificate = read_certificate(folder / CERTIFICATE)
        _check_identity(certificate, identity(placed), folder)
    return Trained(placed, certificate, description.training)


def _widened(weight: Tensor) -> Tensor:
    """Numbers of 16 bits in float32, in which models are computed with."""
    return weight.float() if weight.dtype in (torch.bfloat16, torch.float16) else weight


def case_of(name: str, given: Case | None = None) -> Case:
    """The case that a folder's model is of: the one that is given, or else the one of its name.

    Raises:
        ResultError: for a given case of another name.
        UnknownNameError: for a case that there is not; the message says how one's own is given.
    """
    if given is None:
        try:
            return load_case(name)
        except UnknownNameError as error:
            error.args = (f"{error}. {OF_OWN_CASES}",)
            raise
    if given.name != name:
        raise ResultError(f"expected a model of {given.name}, got one of {name}")
    return given


class FolderConfig(BaseModel):
    """`config.json`."""

    model_config = ConfigDict(strict=True, frozen=True)

    case: str
    placement: dict[str, str]  # compiled node: low-level node
    transformer: Annotated[TransformerConfig, BeforeValidator(from_document)]
    training: dict[str, Any] = {}  # older folders have none


SCHEMA = TypeAdapter(FolderConfig)


def read_description(path: Path) -> FolderConfig:
    """Read `config.json`; raises ResultError if that cannot be done."""
    description = read_as(SCHEMA, path, "the configuration of a trained model", MAX_CONFIG)
    try:
        check_sizes(description.transformer)
    except ModelError as error:  # sizes that no transformer has
        raise ResultError(f"{path}: {error}") from error
    return description


def _check_identity(certificate: Certificate, found: Mapping[str, str], folder: Path) -> None:
    """Raise ResultError where the certificate is of something else than what is there."""
    for name, digest in found.items():
        if getattr(certificate, name) != digest:
            raise ResultError(
                f"{folder}: expected a certificate of {name.replace('_', ' ')} {digest[:12]}, got "
                f"one of {getattr(certificate, name)[:12]}; `knowncircuits certify` makes a new one"
            )


def as_trained(placed: Placed, training: Mapping[str, Any] | None = None) -> Trained:
    """A model that is done training: a copy without gradients."""
    model = placed.model
    frozen = Transformer(model.config, dtype=model.dtype, device=model.device)
    with torch.no_grad():
        frozen.load_state_dict(model.state_dict())
    frozen.requires_grad_(False)
    return Trained(replace(placed, model=frozen), training=training or {})
