"""What a model has beside the primitive: attention patterns, what heads make of a value, logits."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import advice
from knowncircuits.errors import ModelError
from knowncircuits.models.interop.bridge import BridgedModel
from knowncircuits.models.interop.hooked import HookedTwin
from knowncircuits.models.interop.lens_library import TransformerBridge
from knowncircuits.primitive import Patchable
from knowncircuits.suffixes import Suffixes
from knowncircuits.transformer import Transformer


@runtime_checkable
class Insides(Protocol):
    """What component analysis asks of a model."""

    def patterns(
        self, tokens: Int[Tensor, "batch seq"], layer: int
    ) -> Float[Tensor, "batch head query key"]:
        """How much each position attends to each one."""

    def stream(
        self, tokens: Int[Tensor, "batch seq"], layer: int
    ) -> Float[Tensor, "batch seq d_model"]:
        """The residual stream before a layer."""

    def written(
        self, stream: Float[Tensor, "some d_model"], layer: int
    ) -> Float[Tensor, "some head d_model"]:
        """What each head writes when it attends to a position with this stream, and to no other."""

    def unembed(self, stream: Float[Tensor, "*some d_model"]) -> Float[Tensor, "*some output"]:
        """The logits of a residual stream."""


def insides_of(model: Patchable) -> Insides:
    """The insides of a model of ours, of its hooked twin, or of a bridge.

    Raises ModelError for anything else.
    """
    if isinstance(model, Transformer):
        return OwnInsides(model)
    if isinstance(model, BridgedModel):
        return HookedInsides(model.bridge)
    if isinstance(model, HookedTwin):
        return HookedInsides(model)
    raise ModelError(
        "expected a Transformer, a HookedTwin or a BridgedModel to look into, got "
        f"{type(model).__name__}{advice(model, 'Transformer')}"
    )


class OwnInsides:
    """The insides of a `Transformer`."""

    def __init__(self, model: Transformer) -> None:
        self.model = model

    def patterns(
        self, tokens: Int[Tensor, "batch seq"], layer: int
    ) -> Float[Tensor, "batch head query key"]:
        """See `Insides`."""
        q, k, _ = self.model.qkv(self.stream(tokens, layer), None, layer)
        return self.model.pattern(q, k)

    def stream(
        self, tokens: Int[Tensor, "batch seq"], layer: int
    ) -> Float[Tensor, "batch seq d_model"]:
        """See `Insides`."""
        return Suffixes(self.model, self.model.run(tokens)).before[layer]

    def written(
        self, stream: Float[Tensor, "some d_model"], layer: int
    ) -> Float[Tensor, "some head d_model"]:
        """See `Insides`."""
        model = self.model
        values = torch.einsum("nd,hdk->nhk", model.norm(stream, layer), model.W_QKV[layer, 2])
        return torch.einsum("nhk,hkd->nhd", values + model.b_QKV[layer, 2], model.W_O[layer])

    def unembed(self, stream: Float[Tensor, "*some d_model"]) -> Float[Tensor, "*some output"]:
        """See `Insides`."""
        return self.model.unembed(stream)


class HookedInsides:
    """The insides of anything with HookedTransformer's hooks and names: a twin, or a bridge."""

    def __init__(self, hooked: HookedTwin | TransformerBridge) -> None:
        self.hooked: Any = hooked

    def patterns(
        self, tokens: Int[Tensor, "batch seq"], layer: int
    ) -> Float[Tensor, "batch head query key"]:
        """See `Insides`."""
        return self._seen(tokens, f"blocks.{layer}.attn.hook_pattern")

    def stream(
        self, tokens: Int[Tensor, "batch seq"], layer: int
    ) -> Float[Tensor, "batch seq d_model"]:
        """See `Insides`."""
        if layer == 0:
            return self._seen(tokens, "blocks.0.hook_resid_pre")
        return self._seen(tokens, f"blocks.{layer - 1}.hook_resid_post")

    def written(
        self, stream: Float[Tensor, "some d_model"], layer: int
    ) -> Float[Tensor, "some head d_model"]:
        """See `Insides`."""
        hooked = self.hooked
        normed = hooked.blocks[layer].ln1(stream[:, None])[:, 0]  # norms expect a sequence
        values = torch.einsum("nd,hdk->nhk", normed, hooked.W_V[layer]) + hooked.b_V[layer]
        return torch.einsum("nhk,hkd->nhd", values, hooked.W_O[layer])

    def unembed(self, stream: Float[Tensor, "*some d_model"]) -> Float[Tensor, "*some output"]:
        """See `Insides`."""
        logits: Tensor = self.hooked.unembed(self.hooked.ln_final(stream))
        return logits

    def _seen(self, tokens: Tensor, name: str) -> Tensor:
        """What passes a hook."""
        _, cache = self.hooked.run_with_cache(tokens, names_filter=[name])
        seen: Tensor = cache[name]
        return seen
