"""In from TransformerLens 2 and 3: a HookedTransformer's configuration and weights as ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ModelError
from knowncircuits.layers import ACTIVATIONS
from knowncircuits.transformer import Transformer

SIZES = ("n_layers", "n_heads", "d_model", "d_head", "n_ctx", "d_vocab", "d_vocab_out")
LIMIT = 2**31  # on sizes
# Options that ours does not have, each at the value that leaves it off. Older versions of
# TransformerLens lack some of them.
OFF: Mapping[str, Any] = {
    "positional_embedding_type": "standard",
    "use_attn_scale": True,
    "scale_attn_by_inverse_layer_idx": False,
    "attn_scores_soft_cap": -1.0,
    "use_local_attn": False,
    "use_qk_norm": False,
    "parallel_attn_mlp": False,
    "gated_mlp": False,
    "num_experts": None,
    "post_embedding_ln": False,
    "use_normalization_before_and_after": False,
    "final_rms": False,
    "output_logits_soft_cap": -1.0,
}
BUFFERS = ("attn.mask", "attn.IGNORE")  # of each block


def from_lens_config(fields: Mapping[str, Any]) -> TransformerConfig:
    """The fields of a HookedTransformerConfig as our sizes and choices: `lens_config` undone.

    Raises ModelError for a field that is missing and for a choice that ours does not have.
    """
    attention_only = fields.get("attn_only", False)
    sizes = SIZES if attention_only else (*SIZES, "d_mlp")
    names = (*sizes, "eps", "act_fn", "normalization_type", "attention_dir")
    missing = [name for name in names if name not in fields]
    if missing:
        raise ModelError(f"expected a configuration with {', '.join(missing)}, got one without")
    if fields["d_vocab_out"] == -1:  # as HookedTransformer has it: as many outputs as tokens
        fields = {**fields, "d_vocab_out": fields["d_vocab"]}
    for name in sizes:
        if type(fields[name]) is not int or abs(fields[name]) >= LIMIT:
            raise ModelError(
                f"expected {name} to be a whole number below {LIMIT}, got {_show(fields[name])}"
            )
    if not isinstance(fields["eps"], int | float):
        raise ModelError(f"expected eps to be a number, got {_show(fields['eps'])}")
    allowed = {name: (off,) for name, off in OFF.items()} | {
        "attn_only": (False, True),
        "attn_scale": (-1.0, math.sqrt(max(fields["d_head"], 0))),  # -1: the default
        "n_key_value_heads": (None, fields["n_heads"]),
        "act_fn": (*ACTIVATIONS, None) if attention_only else (*ACTIVATIONS,),
        "normalization_type": (None, "LN", "LNPre"),
        "attention_dir": ("causal", "bidirectional"),
    }
    for name, values in allowed.items():
        if name in fields and fields[name] not in values:
            expected = " or ".join(map(repr, values))
            raise ModelError(f"expected {name} {expected}, got {_show(fields[name])}")
    return TransformerConfig(
        **{name: fields[name] for name in SIZES},
        d_mlp=0 if attention_only else fields["d_mlp"],
        causal=fields["attention_dir"] == "causal",
        activation=fields["act_fn"] or "gelu",
        norm="none" if fields["normalization_type"] is None else "layer",
        norm_eps=fields["eps"],
    )


def from_lens_state_dict(state: Mapping[str, Tensor], config: TransformerConfig) -> Transformer:
    """A HookedTransformer's weights in a new model of ours: `lens_state_dict` undone.

    Norms may lack weights, as TransformerLens's `LNPre` do: their gains are one. The mask's buffers
    are left out.

    Raises ModelError for names that are missing or unknown, and for tensors of another shape.
    """
    c = config
    if c.n_layers > len(state):
        raise ModelError(f"expected weights of {c.n_layers} layers, got {len(state)} tensors")
    norms = c.norms
    if not any(f"{norm}.w" in state for norm in norms):
        norms = ()
    shapes = _shapes(c) | {f"{norm}.{part}": (c.d_model,) for norm in norms for part in "wb"}
    buffers = {f"blocks.{layer}.{name}" for layer in range(c.n_layers) for name in BUFFERS}
    _check_names_and_shapes({n: t for n, t in state.items() if n not in buffers}, shapes)

    def stack(name: str) -> Tensor:
        return torch.stack([state[f"blocks.{layer}.{name}"] for layer in range(c.n_layers)])

    weights = {
        "W_E": state["embed.W_E"],
        "W_pos": state["pos_embed.W_pos"],
        "W_QKV": torch.stack([stack(f"attn.W_{letter}") for letter in "QKV"], 1),
        "b_QKV": torch.stack([stack(f"attn.b_{letter}") for letter in "QKV"], 1),
        "W_O": stack("attn.W_O"),
        "b_O": stack("attn.b_O"),
        "W_U": state["unembed.W_U"],
        "b_U": state["unembed.b_U"],
    }
    if c.d_mlp:
        weights |= {name: stack(f"mlp.{name}") for name in ("W_in", "b_in", "W_out", "b_out")}
    if norms:
        weights["ln_w"] = torch.stack([state[f"{norm}.w"] for norm in norms])
        weights["ln_b"] = torch.stack([state[f"{norm}.b"] for norm in norms])
    model = Transformer(c, dtype=state["embed.W_E"].dtype, device=state["embed.W_E"].device)
    model.load_state_dict(weights, strict=False)  # LNPre has no gains
    return model


def _shapes(c: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Every weight but the norms', under HookedTransformer's names."""
    D, H, K, M = c.d_model, c.n_heads, c.d_head, c.d_mlp
    block: dict[str, tuple[int, ...]] = {"attn.W_O": (H, K, D), "attn.b_O": (D,)}
    for letter in "QKV":
        block |= {f"attn.W_{letter}": (H, D, K), f"attn.b_{letter}": (H, K)}
    if M:
        block |= {"mlp.W_in": (D, M), "mlp.b_in": (M,), "mlp.W_out": (M, D), "mlp.b_out": (D,)}
    return {
        "embed.W_E": (c.d_vocab, D),
        "pos_embed.W_pos": (c.n_ctx, D),
        "unembed.W_U": (D, c.d_vocab_out),
        "unembed.b_U": (c.d_vocab_out,),
    } | {f"blocks.{i}.{name}": shape for i in range(c.n_layers) for name, shape in block.items()}


def _check_names_and_shapes(
    state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise ModelError that names all that is wrong."""
    problems = []
    for kind, names in (("unknown", state.keys() - shapes), ("missing", shapes.keys() - state)):
        if names:
            shown = sorted(names)[:5] + ["..."] * (len(names) > 5)
            problems.append(f"{len(names)} {kind} ({', '.join(shown)})")
    for name in sorted(state.keys() & shapes):
        tensor, shape = state[name], shapes[name]
        if tuple(tensor.shape) != shape:
            problems.append(f"{name} of shape {list(tensor.shape)} for {list(shape)}")
        elif not tensor.is_floating_point():
            problems.append(f"{name} of type {tensor.dtype} for floating point")
    if problems:
        raise ModelError(f"expected a HookedTransformer's weights, got {'; '.join(problems[:8])}")


def _show(value: object) -> str:
    """A value for a message; only the type of what may be large."""
    plain = value is None or isinstance(value, str | float)
    plain |= isinstance(value, int) and abs(value) < 2**63
    return repr(value)[:80] if plain else type(value).__name__
