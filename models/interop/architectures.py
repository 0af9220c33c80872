"""Architectures of language models whose tiny random models the primitive is tried on.

Sizes are tiny, and the features are those of the shipped models: `shape` is a configuration of
Hugging Face's, from which a model of random weights is made without a network. `Places` says where
the parts of such a model are, for hooks of PyTorch's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from knowncircuits.models.interop.lens_library import AutoConfig, AutoModelForCausalLM

N_CTX, D_VOCAB = 8, 11
D_MODEL, D_HEAD = 16, 4
N_LAYERS, N_HEADS = 2, 4
STD = 0.3  # of the weights: large enough that every edge does something


@dataclass(frozen=True)
class Places:
    """Where a Hugging Face model has its parts; those of a layer, by their names in it."""

    layers: str = "model.layers"
    norm: str = "input_layernorm"  # before attention
    q: str = "self_attn.q_proj"
    k: str = "self_attn.k_proj"
    v: str = "self_attn.v_proj"
    # What comes first where q, k and v are in one matrix: all of q, or all of the first head.
    fused: Literal["letters", "heads"] | None = None
    out: str = "self_attn.o_proj"
    post_norm: str | None = None  # behind attention
    mlp_norm: str | None = "post_attention_layernorm"  # none where attention's is the MLP's too
    mlp: str = "mlp"
    mlp_write: str = "mlp"  # whose output is written
    final_norm: str = "model.norm"
    positions: str | None = None  # of learned positions


@dataclass(frozen=True)
class Architecture:
    """A kind of model: what is special about it, and a tiny configuration."""

    models: str  # that have it
    features: str
    kind: str  # Hugging Face's `model_type`
    shape: Mapping[str, Any] = field(default_factory=dict)
    places: Places | None = Places()  # None where it is expected to be refused

    def build(self, seed: int, dtype: torch.dtype = torch.float32) -> nn.Module:
        """A model with weights drawn by the seed, in evaluation mode."""
        config = AutoConfig.for_model(self.kind, **(LLAMA | dict(self.shape)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: nn.Module = AutoModelForCausalLM.from_config(config)
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=STD)
        return model.to(dtype).eval()


# What Llama and most others call the sizes.
LLAMA = {
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": N_HEADS,
    "hidden_size": D_MODEL,
    "intermediate_size": 24,
    "max_position_embeddings": N_CTX,
    "vocab_size": D_VOCAB,
}
GPT = {
    "n_layer": N_LAYERS,
    "n_head": N_HEADS,
    "n_embd": D_MODEL,
    "n_positions": N_CTX,
    "vocab_size": D_VOCAB,
}
GROUPS = {"num_key_value_heads": 2, "head_dim": D_HEAD}
WINDOW = {"sliding_window": 3}
FOUR_NORMS = Places(
    post_norm="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_write="post_feedforward_layernorm",
)
OF_GPT_2 = Places(
    layers="transformer.h",
    norm="ln_1",
    q="attn.c_attn",
    fused="letters",
    out="attn.c_proj",
    mlp_norm="ln_2",
    final_norm="transformer.ln_f",
    positions="transformer.wpe",
)
OF_NEOX = Places(
    layers="gpt_neox.layers",
    q="attention.query_key_value",
    fused="heads",
    out="attention.dense",
    final_norm="gpt_neox.final_layer_norm",
)

ARCHITECTURES: dict[str, Architecture] = {
    "GPT-2": Architecture(
        "GPT-2", "LayerNorm, learned positions, tied embeddings", "gpt2", GPT, OF_GPT_2
    ),
    "GPT-NeoX": Architecture(
        "Pythia, GPT-NeoX",
        "parallel blocks, rotary positions in part",
        "gpt_neox",
        {"rotary_pct": 0.5},
        OF_NEOX,
    ),
    "GPT-NeoX, serial": Architecture(
        "RedPajama-INCITE",
        "rotary positions in part",
        "gpt_neox",
        {"rotary_pct": 0.5, "use_parallel_residual": False},
        OF_NEOX,
    ),
    "GPT-J": Architecture(
        "GPT-J",
        "parallel blocks with one norm, rotary positions in part",
        "gptj",
        GPT | {"rotary_dim": 2},
        Places(
            layers="transformer.h",
            norm="ln_1",
            q="attn.q_proj",
            k="attn.k_proj",
            v="attn.v_proj",
            out="attn.out_proj",
            mlp_norm=None,
            final_norm="transformer.ln_f",
        ),
    ),
    "Llama": Architecture(
        "Llama 2 and 3, TinyLlama",
        "RMSNorm, gated MLPs, rotary positions, grouped queries",
        "llama",
        GROUPS,
    ),
    "Mistral": Architecture("Mistral 7B", "as Llama, sliding windows", "mistral", GROUPS | WINDOW),
    "Qwen2": Architecture(
        "Qwen 2 and 2.5",
        "as Llama, biases of q, k and v, tied embeddings",
        "qwen2",
        {"num_key_value_heads": 2, "tie_word_embeddings": True},
    ),
    "Qwen3": Architecture(
        "Qwen 3",
        "as Llama, norms of q and k, heads of any width",
        "qwen3",
        {"num_key_value_heads": 2, "head_dim": 6},
    ),
    "Gemma": Architecture(
        "Gemma 1",
        "as Llama, scaled and tied embeddings, one key for all heads",
        "gemma",
        {"num_key_value_heads": 1, "head_dim": D_HEAD},
    ),
    "Gemma 2": Architecture(
        "Gemma 2",
        "as Gemma, norms before and behind, soft caps, sliding windows in turn",
        "gemma2",
        GROUPS | WINDOW | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
        FOUR_NORMS,
    ),
    "Gemma 3": Architecture(
        "Gemma 3",
        "as Gemma 2 without caps, norms of q and k, two rotary bases",
        "gemma3_text",
        GROUPS | WINDOW | {"layer_types": ["sliding_attention", "full_attention"]},
        FOUR_NORMS,
    ),
    "Phi": Architecture(
        "Phi 1, 1.5 and 2",
        "parallel blocks with one norm, rotary positions in part",
        "phi",
        {"partial_rotary_factor": 0.5},
        Places(out="self_attn.dense", mlp_norm=None, final_norm="model.final_layernorm"),
    ),
    "OPT": Architecture(
        "OPT, but for 350m",
        "learned positions, ReLU, tied embeddings",
        "opt",
        {"ffn_dim": 24, "word_embed_proj_dim": D_MODEL},
        Places(
            layers="model.decoder.layers",
            norm="self_attn_layer_norm",
            out="self_attn.out_proj",
            mlp_norm="final_layer_norm",
            mlp="fc1",
            mlp_write="fc2",
            final_norm="model.decoder.final_layer_norm",
            positions="model.decoder.embed_positions",
        ),
    ),
    "BLOOM": Architecture(
        "BLOOM",
        "ALiBi, a norm behind the embedding, tied embeddings",
        "bloom",
        {"n_layer": N_LAYERS, "n_head": N_HEADS},
        Places(
            layers="transformer.h",
            q="self_attention.query_key_value",
            fused="heads",
            out="self_attention.dense",
            mlp_write="mlp.dense_4h_to_h",
            final_norm="transformer.ln_f",
        ),
    ),
    "OPT 350m": Architecture(
        "OPT 350m",
        "norms of the residual stream itself, a narrower embedding",
        "opt",
        {"ffn_dim": 24, "word_embed_proj_dim": 8, "do_layer_norm_before": False},
        None,
    ),
    "BLOOM, normed residual": Architecture(
        "none that are known",
        "the residual stream goes on from the norm",
        "bloom",
        {"n_layer": 2, "n_head": N_HEADS, "apply_residual_connection_post_layernorm": True},
        None,
    ),
    "Granite": Architecture(
        "Granite 3",
        "as Llama, what layers write is scaled",
        "granite",
        GROUPS | {"residual_multiplier": 0.5},
        None,
    ),
}
