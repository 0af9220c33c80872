"""Tasks on bridges of other libraries' models, tiny and random, of which no truth is known."""

from typing import Any

import torch
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from knowncircuits.evaluation.task import Task
from knowncircuits.models.interop.bridge import BridgedModel

FAMILIES = ("GPT-2", "serial GPT-NeoX", "Qwen2")


def natural(kind: str) -> Any:
    """A tiny random model of a family, in float64."""
    sizes = {
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_size": 8,
        "intermediate_size": 6,
        "max_position_embeddings": 8,
        "vocab_size": 11,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "GPT-2":
            model: Any = GPT2LMHeadModel(
                GPT2Config(n_layer=2, n_head=2, n_embd=8, n_inner=6, n_positions=8, vocab_size=11)
            )
        elif kind == "Qwen2":
            model = Qwen2ForCausalLM(Qwen2Config(**sizes, num_key_value_heads=2))
        else:
            model = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, use_parallel_residual=False))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return model.double().eval()


def bridged(kind: str) -> Task:
    """A tiny random model of a family behind a bridge; no truth is known of it."""
    model = natural(kind)
    name = type(model).__name__
    bridge = build_bridge_from_module(model, name, hf_config=model.config, dtype=torch.float64)
    clean, corrupted = torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 1]], [[8, 2, 9, 3], [5, 4, 10, 9]]])
    return Task(kind, BridgedModel(bridge), clean, corrupted, clean > 0, "label_loss")
