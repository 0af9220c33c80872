"""Out to HookedTransformer of TransformerLens 1 to 3: its configuration, weights and tokenizer.

Nothing here imports TransformerLens, so that the files are made where another version is, or none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError
from knowncircuits.files.writing import whole_folder, write_bytes, write_text
from knowncircuits.layers import ROTARY_BASE
from knowncircuits.models.interop.tokenizer import tokenizer_files
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.transformer import Transformer

CONFIG, WEIGHTS = "lens_config.json", "lens_weights.safetensors"
NORMALIZATION_TYPES = {"none": None, "layer": "LN", "rms": "RMS"}  # TransformerLens's names


@runtime_checkable
class OfProgram(Protocol):
    """A model that belongs to a compiled one, such as a trained or a wired one."""

    @property
    def model(self) -> Transformer:
        """The transformer."""
        ...

    @property
    def compiled(self) -> Compiled:
        """The compiled model, whose vocabulary it reads."""
        ...


Subject = Transformer | Compiled | OfProgram


def export_lens(
    subject: Subject, folder: str | Path, *, vocabulary: Vocabulary | None = None
) -> None:
    """Write a model so that TransformerLens 1 to 3 load it, with no package of ours beside it.

    The folder then has `lens_config.json`, the arguments of HookedTransformerConfig;
    `lens_weights.safetensors`, a state dict that loads strictly; and, where the vocabulary is
    known, a word-level fast tokenizer, which `AutoTokenizer.from_pretrained(folder)` reads: words
    are tokens, and BOS is put before them. Weights keep their dtype; a HookedTransformer, which is
    made in float32, casts them, unless it is put `.to(torch.float64)` first.

    Args:
        subject: a compiled, trained or wired model, or the transformer of one.
        folder: other files that are there stay.
        vocabulary: of a transformer alone, to write a tokenizer for it too.

    Raises:
        ModelError: for a gated MLP with biases before the product, which HookedTransformer lacks.
        ResultError: if writing fails.
    """
    from safetensors.torch import save

    model, known = parts_of(subject)
    files = {CONFIG: json.dumps(lens_fields(model), indent=1) + "\n"}
    vocabulary = vocabulary or known
    if vocabulary is not None:
        files |= tokenizer_files(vocabulary)
    weights = save({name: t.cpu().contiguous() for name, t in strict_state_dict(model).items()})
    with whole_folder(Path(folder), {*files, WEIGHTS}.__contains__) as new:
        for name, text in files.items():
            write_text(new / name, text, lasting=False)
        write_bytes(new / WEIGHTS, weights, lasting=False)


def parts_of(subject: Subject) -> tuple[Transformer, Vocabulary | None]:
    """The transformer of what was passed, and its vocabulary if that is known."""
    if isinstance(subject, Compiled):
        return subject.model, subject.vocabulary
    if isinstance(subject, OfProgram):
        return subject.model, subject.compiled.vocabulary
    return _as_is(subject), None


@takes(model=Transformer)
def _as_is(model: Transformer) -> Transformer:
    return model


def lens_fields(model: Transformer) -> dict[str, Any]:
    """The arguments of HookedTransformerConfig that make the model, as plain data.

    They are those that TransformerLens 1.19 to 3 have, with the hooks on that circuit code needs.
    """
    c = model.config
    rotary = c.positions == "rotary"
    return {
        "n_layers": c.n_layers,
        "n_heads": c.n_heads,
        "d_model": c.d_model,
        "d_head": c.d_head,
        "d_mlp": c.d_mlp or None,
        "n_ctx": c.n_ctx,
        "d_vocab": c.d_vocab,
        "d_vocab_out": c.d_vocab_out,
        "act_fn": c.activation,
        "attn_only": c.d_mlp == 0,
        "gated_mlp": c.gated,
        "attention_dir": "causal" if c.causal else "bidirectional",
        "normalization_type": NORMALIZATION_TYPES[c.norm],
        "eps": c.norm_eps,
        "positional_embedding_type": "rotary" if rotary else "standard",
        "rotary_dim": c.d_head // 2 * 2 if rotary else None,
        "rotary_adjacent_pairs": rotary,
        "rotary_base": int(ROTARY_BASE),
        "init_weights": False,
        "use_attn_result": True,
        "use_split_qkv_input": True,
        "use_hook_mlp_in": True,
    }


def strict_state_dict(model: Transformer) -> dict[str, Tensor]:
    """`lens_state_dict` with the buffers of HookedTransformer's heads: what a strict load wants.

    Raises ModelError for a gated MLP with a bias of the gate or of what it multiplies.
    """
    c = model.config
    weights = lens_state_dict(model)
    if c.gated:
        for layer in range(c.n_layers):
            for name in ("b_gate", "b_in"):
                if weights[f"blocks.{layer}.mlp.{name}"].any():
                    raise ModelError(
                        f"expected a gated MLP without biases before the product, which "
                        f"HookedTransformer lacks, got one with {name} in layer {layer}"
                    )
            del weights[f"blocks.{layer}.mlp.b_gate"]
    buffers = {
        "mask": torch.ones(c.n_ctx, c.n_ctx, dtype=torch.bool).tril(),
        "IGNORE": torch.tensor(-torch.inf),
        **(_rotary_buffers(c.n_ctx, c.d_head // 2 * 2) if c.positions == "rotary" else {}),
    }
    for layer in range(c.n_layers):
        weights |= {f"blocks.{layer}.attn.{name}": b.clone() for name, b in buffers.items()}
    return weights


def _rotary_buffers(n_ctx: int, size: int) -> Mapping[str, Tensor]:
    """The sines and cosines of the angles, position by number, two numbers of a plane alike."""
    planes = torch.arange(0, size, 2, dtype=torch.float64)
    turns = torch.outer(torch.arange(n_ctx, dtype=torch.float64), ROTARY_BASE ** (-planes / size))
    angles = turns.repeat_interleave(2, dim=1)
    return {"rotary_sin": angles.sin().float(), "rotary_cos": angles.cos().float()}


def lens_state_dict(model: Transformer) -> dict[str, Tensor]:
    """The model's weights under HookedTransformer's names, in its shapes.

    A gate has a bias, `b_gate`, and `b_in` is added before the product. HookedTransformer has no
    bias of a gate, and adds `b_in` behind: a gated model is not loaded there as it is.
    """
    c = model.config
    weights: dict[str, Tensor] = {
        "embed.W_E": model.W_E,
        "unembed.W_U": model.W_U,
        "unembed.b_U": model.b_U,
    }
    if c.positions == "learned":
        weights["pos_embed.W_pos"] = model.W_pos
    mlp = ["W_in", "b_in", "W_out", "b_out"] if c.d_mlp else []
    mlp += ["W_gate", "b_gate"] if c.gated else []
    for layer in range(c.n_layers):
        block = f"blocks.{layer}."
        for i, letter in enumerate("QKV"):
            weights[f"{block}attn.W_{letter}"] = model.W_QKV[layer, i]
            weights[f"{block}attn.b_{letter}"] = model.b_QKV[layer, i]
        weights[f"{block}attn.W_O"] = model.W_O[layer]
        weights[f"{block}attn.b_O"] = model.b_O[layer]
        for name in mlp:
            weights[f"{block}mlp.{name}"] = getattr(model, name)[layer]
    for i, norm in enumerate(c.norms):
        weights[f"{norm}.w"] = model.ln_w[i]
        if c.norm == "layer":
            weights[f"{norm}.b"] = model.ln_b[i]
    return {name: weight.detach().clone() for name, weight in weights.items()}
