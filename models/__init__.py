"""Models: the hooked twin, TransformerLens in and out, tracr in."""

from knowncircuits.models.bridge import BridgedModel, to_transformer_lens
from knowncircuits.models.hooked import to_hooked

__all__ = ["BridgedModel", "to_hooked", "to_transformer_lens"]
