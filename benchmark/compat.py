"""For code that is written for TransformerLens's HookedTransformer, whichever version is there."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from knowncircuits.extras import missing
from knowncircuits.models.interop.lens_out import (
    Subject,
    export_lens,
    lens_fields,
    parts_of,
    strict_state_dict,
)
from knowncircuits.rasp.vocabulary import Vocabulary


def hooked_transformer(subject: Subject, *, vocabulary: Vocabulary | None = None) -> Any:
    """The model as a HookedTransformer of TransformerLens 1 to 3, or of 4 as a hooked twin.

    It has the weights, the dtype and the device of the model, a tokenizer where the vocabulary is
    known, the hooks on that circuit code asks for (`use_attn_result`, `use_split_qkv_input`,
    `use_hook_mlp_in`), and is in evaluation mode. Nothing is folded or centred.

    Args:
        subject: a compiled, trained or wired model, or the transformer of one.
        vocabulary: of a transformer alone, to have a tokenizer with it.

    Raises:
        MissingExtraError: without TransformerLens, of the extra `lens`.
        ModelError: for a gated MLP with biases before the product, which HookedTransformer lacks.
    """
    if not _is_before_4():
        from knowncircuits.models.interop.hooked import to_hooked

        return to_hooked(subject, vocabulary=vocabulary)
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    model, known = parts_of(subject)
    fields = {**lens_fields(model), "dtype": model.dtype, "device": str(model.device)}
    tokenizer = None
    with TemporaryDirectory() as folder:
        if vocabulary or known:
            from transformers import AutoTokenizer

            export_lens(subject, folder, vocabulary=vocabulary)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        hooked = HookedTransformer(HookedTransformerConfig(**fields), tokenizer)
    hooked.load_state_dict(strict_state_dict(model), strict=True)
    return hooked.eval()


def restore_hooked_transformer() -> None:
    """Let code import from TransformerLens 4 what circuit code of before imported.

    `transformer_lens.HookedTransformer` is then the class of our hooked twins, and
    `HookedTransformerConfig`, `HookedTransformerKeyValueCache` and `utils` are what TransformerLens
    4 has under new names; the modules that they were in can be imported, too, and `hook_points` has
    `HookedRootModule` again. EAP-IG, auto-circuit, ACDC and iit need no more. Call it before they
    are imported. Before TransformerLens 4 it does nothing.

    Raises MissingExtraError without TransformerLens, of the extra `lens`.
    """
    if _is_before_4():
        return
    from knowncircuits.models.interop.hooked import HookedTwin
    from knowncircuits.models.interop.lens_library import (
        HookedRootModule,
        TransformerBridgeConfig,
        TransformerLensKeyValueCache,
        transformer_lens,
        utilities,
    )

    homes = {
        "HookedTransformer": {
            "HookedTransformer": HookedTwin,
            "HookedTransformerConfig": TransformerBridgeConfig,
        },
        "HookedTransformerConfig": {"HookedTransformerConfig": TransformerBridgeConfig},
        "past_key_value_caching": {"HookedTransformerKeyValueCache": TransformerLensKeyValueCache},
    }
    for home, names in homes.items():
        module = ModuleType(f"transformer_lens.{home}")
        vars(module).update(names)
        sys.modules[module.__name__] = module
        vars(transformer_lens).update(names)
    transformer_lens.hook_points.HookedRootModule = HookedRootModule
    sys.modules["transformer_lens.utils"] = transformer_lens.utils = utilities


def _is_before_4() -> bool:
    """Whether TransformerLens has HookedTransformer itself."""
    try:
        return int(version("transformer_lens").partition(".")[0]) < 4
    except PackageNotFoundError as error:
        raise missing("transformer_lens") from error
