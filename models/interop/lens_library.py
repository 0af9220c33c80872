"""TransformerLens, of the extra `lens`: all that is used of it, so that one place says it lacks."""

from __future__ import annotations

from knowncircuits.extras import missing

try:
    import transformer_lens as transformer_lens
    from transformer_lens import ActivationCache as ActivationCache
    from transformer_lens import FactoredMatrix as FactoredMatrix
    from transformer_lens import HookedRootModule as HookedRootModule
    from transformer_lens import TransformerBridgeConfig as TransformerBridgeConfig
    from transformer_lens import TransformerLensKeyValueCache as TransformerLensKeyValueCache
    from transformer_lens import utilities as utilities
    from transformer_lens.hook_points import HookPoint as HookPoint
    from transformer_lens.model_bridge import TransformerBridge as TransformerBridge
    from transformer_lens.model_bridge.generalized_components import (
        AttentionBridge as AttentionBridge,
    )
    from transformer_lens.model_bridge.generalized_components import (
        NormalizationBridge as NormalizationBridge,
    )
    from transformer_lens.model_bridge.sources import (
        build_bridge_from_module as build_bridge_from_module,
    )
    from transformer_lens.model_bridge.sources.native import NativeModel as NativeModel
    from transformers import AutoConfig as AutoConfig  # a dependency of theirs
    from transformers import AutoModelForCausalLM as AutoModelForCausalLM
    from transformers import AutoTokenizer as AutoTokenizer
    from transformers.pytorch_utils import Conv1D as Conv1D
except ModuleNotFoundError as error:
    if error.name != "transformer_lens":  # it is there, and broken
        raise
    raise missing("transformer_lens") from error
