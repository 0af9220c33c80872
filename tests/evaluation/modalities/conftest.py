"""Studies of the three variants, and small models of Hugging Face as bridges."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import knowncircuits as kc
from knowncircuits.evaluation.modalities import ModalityStudy, Prompts, study_modalities
from knowncircuits.models.wired import Wired, model_of

SHARES = (0, 0.01, 0.1, 0.11, 0.12, 0.5, 1)
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "vocab_size": 11,
    "max_position_embeddings": 8,
}
# GPT-NeoX as in Pythia: attention and MLP side by side. Qwen2 with two keys for four queries.
NATURAL = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(n_layer=2, n_head=4, n_embd=16, n_positions=8, vocab_size=11)
    ),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES, num_key_value_heads=2)),
}


@pytest.fixture(scope="session")
def subjects() -> Callable[[str], Wired]:
    @cache
    def subject(variant: str) -> Wired:
        found = model_of(kc.load_case(f"modalities_{variant}"))
        assert isinstance(found, Wired)
        return found

    return subject


@pytest.fixture(scope="session")
def studies(subjects: Callable[[str], Wired]) -> Callable[[str], ModalityStudy]:
    @cache
    def study(variant: str) -> ModalityStudy:
        prompts = kc.modality_prompts(subjects(variant), 30)
        return study_modalities(*prompts.values(), shares=SHARES)

    return study


@pytest.fixture(scope="session")
def bridges() -> Callable[[str], TransformerBridge]:
    @cache
    def bridge(name: str) -> TransformerBridge:
        torch.manual_seed(0)
        model = NATURAL[name]().double().eval()
        with torch.no_grad():  # random models of these sizes hardly tell tokens apart
            for weight in model.parameters():
                weight.mul_(3.0 if weight.ndim > 1 else 1.0)
        return build_bridge_from_module(model, type(model).__name__, hf_config=model.config)

    return bridge


@pytest.fixture(scope="session")
def natural(
    bridges: Callable[[str], TransformerBridge],
) -> Callable[[str], tuple[Prompts, Prompts]]:
    """Two kinds of prompts to a bridge, of one and of three data tokens, with its own answers."""

    @cache
    def prompts(name: str) -> tuple[Prompts, Prompts]:
        bridge = bridges(name)
        made = []
        for kind, n_data in (("text", 1), ("image", 3)):
            generator = torch.Generator().manual_seed(n_data)
            tokens = torch.randint(11, (2, 12, n_data + 4), generator=generator)
            tokens[1, :, 0] = tokens[0, :, 0]
            with torch.no_grad():
                said = [bridge(each)[:, -1].argmax(-1) for each in tokens]
            differ = said[0] != said[1]
            assert differ.sum() > 1
            made.append(
                Prompts(
                    kind,
                    bridge,
                    *(each[differ] for each in tokens),
                    *(each[differ] for each in said),
                    kc.position_classes(n_data + 4, range(1, 1 + n_data)),
                )
            )
        return made[0], made[1]

    return prompts
