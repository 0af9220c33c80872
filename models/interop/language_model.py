"""Language models out of folders of Hugging Face's, behind a bridge, with their tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ModelError
from knowncircuits.models.interop.bridge import BridgedModel
from knowncircuits.models.interop.lens_library import (
    AutoModelForCausalLM,
    AutoTokenizer,
    build_bridge_from_module,
)


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model that has the primitive, and the tokenizer that its inputs are made with."""

    model: BridgedModel
    tokenizer: Any


@takes(folder=str | Path)
def load_language_model(
    folder: str | Path, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> LanguageModel:
    """Read a folder with a model and its tokenizer, as `save_pretrained` writes it.

    Nothing is fetched, weights are read as safetensors alone, and no code of the folder's is run.

    Raises ModelError for a folder without them, an architecture without a bridge, or a model that
    cannot be split exactly.
    """
    if not (Path(folder) / "config.json").is_file():
        raise ModelError(f"expected a folder with a Hugging Face model, no config.json in {folder}")
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=dtype
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        name = type(model).__name__
        bridge = build_bridge_from_module(
            model.to(device).eval(), name, hf_config=model.config, dtype=dtype
        )
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ModelError(f"expected a model and a tokenizer in {folder}: {first[0]}") from error
    return LanguageModel(BridgedModel(bridge), tokenizer)
