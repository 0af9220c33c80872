"""The sizes and choices of a transformer, and how files tell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from knowncircuits.choices import Activation, Norm, Positions
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph

SIZES = ("n_layers", "n_heads", "d_model", "d_head", "n_ctx", "d_vocab", "d_vocab_out")
# What files say of a field under another name, and its values there.
NORMS_IN_FILES: dict[Norm, bool | str] = {"none": False, "layer": True, "rms": "rms"}
# Fields that files have only where they depart from their defaults: models that were certified
# before there was the choice then keep their hashes.
CHOICES = ("gated", "positions")


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and choices of a transformer; the names of sizes are TransformerLens's.

    Raises ModelError for sizes and choices that there are not.
    """

    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int  # 0: attention only
    n_ctx: int
    d_vocab: int
    d_vocab_out: int
    causal: bool = True
    activation: Activation = "gelu"
    # Before each attention and MLP, and before the unembedding: LayerNorm (Ba et al., 2016), or
    # RMSNorm (Zhang and Sennrich, 2019), which takes off no mean and adds no bias.
    norm: Norm = "none"
    norm_eps: float = 1e-5
    # Each hidden unit times a second linear reading of the input (Shazeer, 2020): with "silu"
    # SwiGLU, with "gelu" GEGLU.
    gated: bool = False
    # "rotary" (Su et al., 2021): queries and keys are turned by their positions, and nothing is
    # written into the residual stream, so that the graph has no node `pos`.
    positions: Positions = "learned"

    def __post_init__(self) -> None:
        for name in SIZES:
            if getattr(self, name) < 1:
                raise ModelError(f"expected {name} of at least 1, got {getattr(self, name)}")
        least = int(self.gated)
        if self.d_mlp < least:
            gated = " of a gated MLP" if least else ""
            raise ModelError(f"expected d_mlp{gated} of at least {least}, got {self.d_mlp}")
        if self.positions == "rotary" and self.d_head < 2:
            raise ModelError(f"expected d_head of at least 2 to be rotated, got {self.d_head}")
        choices = {
            "activation": get_args(Activation),
            "norm": get_args(Norm),
            "positions": get_args(Positions),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ModelError(
                    f"expected {name} {', '.join(allowed)}, got {getattr(self, name)!r}"
                )

    @property
    def graph(self) -> Graph:
        """The edges that can be patched."""
        inputs = ("embed",) if self.positions == "rotary" else ("embed", "pos")
        return Graph(self.n_layers, self.n_heads, mlp=self.d_mlp > 0, inputs=inputs)

    @property
    def norms(self) -> tuple[str, ...]:
        """TransformerLens's names of the norms in the order of `ln_w`; empty without norms.

        Those before attention, those before the MLPs, and the final one.
        """
        if self.norm == "none":
            return ()
        kinds = ("ln1", "ln2") if self.d_mlp else ("ln1",)
        names = [f"blocks.{layer}.{kind}" for kind in kinds for layer in range(self.n_layers)]
        return (*names, "ln_final")

    def document(self) -> dict[str, Any]:
        """As `config.json` has it, and as certificates hash it; `from_document` reads it."""
        told = asdict(self)
        told["layer_norm"] = NORMS_IN_FILES[told.pop("norm")]
        told["layer_norm_eps"] = told.pop("norm_eps")
        defaults = {field.name: field.default for field in fields(self)}
        return {n: v for n, v in told.items() if n not in CHOICES or v != defaults[n]}


def from_document(document: Any) -> Any:
    """The fields of a configuration in a file by their names here; what is none stays as it is."""
    if not isinstance(document, Mapping):
        return document
    found = dict(document)
    if "layer_norm" in found:
        told = found.pop("layer_norm")
        known = NORMS_IN_FILES.items()
        found["norm"] = next((n for n, v in known if type(v) is type(told) and v == told), told)
    if "layer_norm_eps" in found:
        found["norm_eps"] = found.pop("layer_norm_eps")
    return found
