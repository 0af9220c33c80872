"""Out to Hugging Face: a model as a `PreTrainedModel` whose parts are called as GPT-2's are.

GPT-2's own class has LayerNorm, causal attention, heads as wide together as the residual stream, as
many outputs as tokens and no bias of these. This one has what the model has, so that what is
written for GPT-2's names works on it: `transformer.h.0.attn.c_proj`, `mlp.act`, `ln_1` and so on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ModelError
from knowncircuits.extras import missing
from knowncircuits.files.writing import write_text
from knowncircuits.inference import ordinary_tensors
from knowncircuits.layers import ACTIVATIONS
from knowncircuits.models.interop.hooked_text import fast_tokenizer
from knowncircuits.models.interop.lens_out import Subject, parts_of
from knowncircuits.models.interop.tokenizer import tokenizer_files
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.transformer import Transformer

try:
    from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput
    from transformers.pytorch_utils import Conv1D as Conv1D
except ModuleNotFoundError as error:
    raise missing("transformer_lens") from error  # which brings transformers


def to_hugging_face(
    subject: Subject, *, vocabulary: Vocabulary | None = None
) -> KnownCircuitsForCausalLM:
    """Copy the model into a Hugging Face model of the same dtype, in evaluation mode.

    `.tokenizer` is a fast tokenizer where the vocabulary is known.

    Args:
        subject: a compiled, trained or wired model, or the transformer of one.
        vocabulary: of a transformer alone, to have a tokenizer with it.

    Raises:
        ModelError: for gated MLPs and rotary positions, which GPT-2's parts lack.
    """
    model, known = parts_of(subject)
    weights = gpt2_state_dict(model)
    with torch.random.fork_rng(devices=[]), ordinary_tensors():  # the first weights are drawn
        twin = KnownCircuitsForCausalLM(_configuration(model.config))
    twin.to(device=model.device, dtype=model.dtype).load_state_dict(weights)
    if vocabulary := vocabulary or known:
        twin.tokenizer = fast_tokenizer(vocabulary)
    twin.eval()
    return twin


def export_hugging_face(
    subject: Subject, folder: str | Path, *, vocabulary: Vocabulary | None = None
) -> None:
    """Write the folder that `from_pretrained` reads: configuration, safetensors and tokenizer.

    `AutoModelForCausalLM.from_pretrained(folder)` reads it once this module is imported; the folder
    holds no code.

    Args:
        subject: a compiled, trained or wired model, or the transformer of one.
        folder: other files that are there stay.
        vocabulary: of a transformer alone, to write a tokenizer for it too.

    Raises:
        ModelError: for gated MLPs and rotary positions, which GPT-2's parts lack.
        ResultError: if writing fails.
    """
    _, known = parts_of(subject)
    to_hugging_face(subject).save_pretrained(folder)
    if vocabulary := vocabulary or known:
        for name, text in tokenizer_files(vocabulary).items():
            write_text(Path(folder) / name, text)


class KnownCircuitsConfig(PretrainedConfig):  # type: ignore[misc]
    """Sizes and choices under GPT-2's names, and those that GPT-2 does not have."""

    model_type = "knowncircuits"
    attribute_map = {  # noqa: RUF012  (as theirs)
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    def __init__(
        self,
        *,
        vocab_size: int = 2,
        n_outputs: int = 2,
        n_positions: int = 1,
        n_embd: int = 1,
        n_layer: int = 1,
        n_head: int = 1,
        head_dim: int = 1,
        n_inner: int = 0,
        activation_function: str = "gelu",
        causal: bool = True,
        norm: str = "none",
        layer_norm_epsilon: float = 1e-5,
        **rest: Any,
    ) -> None:
        """Every field has a default, as Hugging Face's code expects."""
        self.vocab_size = vocab_size
        self.n_outputs = n_outputs
        self.n_positions = n_positions
        self.n_embd = n_embd
        self.n_layer = n_layer
        self.n_head = n_head
        self.head_dim = head_dim
        self.n_inner = n_inner
        self.activation_function = activation_function
        self.causal = causal
        self.norm = norm
        self.layer_norm_epsilon = layer_norm_epsilon
        super().__init__(**{"tie_word_embeddings": False, **rest})


def _configuration(c: TransformerConfig) -> KnownCircuitsConfig:
    return KnownCircuitsConfig(
        **gpt2_sizes(c), n_outputs=c.d_vocab_out, head_dim=c.d_head, causal=c.causal, norm=c.norm
    )


def gpt2_sizes(c: TransformerConfig) -> dict[str, Any]:
    """Sizes and choices under the names of GPT-2's configuration, as far as it has them."""
    return {
        "vocab_size": c.d_vocab,
        "n_positions": c.n_ctx,
        "n_embd": c.d_model,
        "n_layer": c.n_layers,
        "n_head": c.n_heads,
        "n_inner": c.d_mlp,
        "activation_function": c.activation,
        "layer_norm_epsilon": c.norm_eps,
        "bos_token_id": 0,
        "eos_token_id": 0,  # nothing is generated
        "tie_word_embeddings": False,
    }


def gpt2_state_dict(model: Transformer) -> dict[str, Tensor]:
    """The weights under GPT-2's names, in its shapes: matrices are [in, out], heads side by side.

    Raises ModelError for gated MLPs and rotary positions.
    """
    c = model.config
    if c.gated or c.positions != "learned":
        got = "gated MLPs" if c.gated else f"{c.positions} positions"
        raise ModelError(f"expected a model with plain MLPs and learned positions, got {got}")
    weights = {
        "transformer.wte.weight": model.W_E,
        "transformer.wpe.weight": model.W_pos,
        "lm_head.weight": model.W_U.T,  # a linear layer of PyTorch's
        "lm_head.bias": model.b_U,
    }
    for layer in range(c.n_layers):
        block = f"transformer.h.{layer}."
        weights |= {
            f"{block}attn.c_attn.weight": model.W_QKV[layer].flatten(0, 1).movedim(1, 0).flatten(1),
            f"{block}attn.c_attn.bias": model.b_QKV[layer].flatten(),
            f"{block}attn.c_proj.weight": model.W_O[layer].flatten(0, 1),
            f"{block}attn.c_proj.bias": model.b_O[layer],
        }
        if c.d_mlp:
            weights |= {
                f"{block}mlp.c_fc.weight": model.W_in[layer],
                f"{block}mlp.c_fc.bias": model.b_in[layer],
                f"{block}mlp.c_proj.weight": model.W_out[layer],
                f"{block}mlp.c_proj.bias": model.b_out[layer],
            }
    for i, norm in enumerate(c.norms):
        name = norm.replace("blocks", "h").replace("ln1", "ln_1").replace("ln2", "ln_2")
        name = f"transformer.{name.replace('ln_final', 'ln_f')}"
        weights[f"{name}.weight"] = model.ln_w[i]
        if c.norm == "layer":
            weights[f"{name}.bias"] = model.ln_b[i]
    return weights


class KnownCircuitsForCausalLM(PreTrainedModel):  # type: ignore[misc]
    """The model with a module wherever GPT-2's class has one."""

    config_class = KnownCircuitsConfig
    base_model_prefix = "transformer"
    main_input_name = "input_ids"

    def __init__(self, config: KnownCircuitsConfig) -> None:
        super().__init__(config)
        self.tokenizer: Any = None
        self.transformer = _Decoder(config)
        self.lm_head = nn.Linear(config.n_embd, config.n_outputs)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of tokens."""
        return self.transformer.wte

    def forward(
        self,
        input_ids: Int[Tensor, "batch seq"] | None = None,
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        inputs_embeds: Float[Tensor, "batch seq d_model"] | None = None,
        **_: Any,
    ) -> CausalLMOutput:
        """The logits [batch, seq, n_outputs].

        Args:
            input_ids: ids, BOS first.
            attention_mask: 0 at positions that no head is to attend to, such as PAD.
            inputs_embeds: in place of `input_ids`, what `wte` gives for these.
        """
        if inputs_embeds is None:
            inputs_embeds = self.transformer.wte(input_ids)
        return CausalLMOutput(logits=self.lm_head(self.transformer(inputs_embeds, attention_mask)))


class _Decoder(nn.Module):
    """Embeddings, layers and the last norm."""

    def __init__(self, config: KnownCircuitsConfig) -> None:
        super().__init__()
        self.causal = config.causal
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(_Block(config) for _ in range(config.n_layer))
        self.ln_f = gpt2_norm(config.norm, config.n_embd, config.layer_norm_epsilon)

    def forward(self, embedded: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        seq = embedded.shape[1]
        seen = torch.ones(seq, seq, dtype=torch.bool, device=embedded.device)
        seen = seen.tril() if self.causal else seen
        if attention_mask is not None:
            seen = seen & attention_mask.bool()[:, None, None, :]
        residual = embedded + self.wpe(torch.arange(seq, device=embedded.device))
        for block in self.h:
            residual = block(residual, seen)
        normed: Tensor = self.ln_f(residual)
        return normed


class _Block(nn.Module):
    """Attention, and an MLP where there is one."""

    def __init__(self, config: KnownCircuitsConfig) -> None:
        super().__init__()
        norm = config.norm, config.n_embd, config.layer_norm_epsilon
        self.ln_1, self.attn = gpt2_norm(*norm), _Attention(config)
        self.has_mlp = bool(config.n_inner)
        if self.has_mlp:
            self.ln_2, self.mlp = gpt2_norm(*norm), _MLP(config)

    def forward(self, residual: Tensor, seen: Tensor) -> Tensor:
        residual = residual + self.attn(self.ln_1(residual), seen)[0]
        return residual + self.mlp(self.ln_2(residual)) if self.has_mlp else residual


class _Attention(nn.Module):
    """All heads of a layer; gives what they write together, and their patterns."""

    def __init__(self, config: KnownCircuitsConfig) -> None:
        super().__init__()
        self.n_heads, self.d_head = config.n_head, config.head_dim
        width = self.n_heads * self.d_head
        self.c_attn = Conv1D(3 * width, config.n_embd)
        self.attn_dropout = nn.Identity()  # drops nothing; a place for hooks, as is the other
        self.c_proj = Conv1D(config.n_embd, width)
        self.resid_dropout = nn.Identity()

    def forward(self, hidden_states: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        parts = self.c_attn(hidden_states).unflatten(-1, (3, self.n_heads, self.d_head))
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each [batch, head, seq, d_head]
        scores = (q @ k.mT * self.d_head**-0.5).masked_fill(~seen, float("-inf"))
        pattern = self.attn_dropout(scores.softmax(-1))
        written = self.c_proj((pattern @ v).transpose(1, 2).flatten(2))
        return self.resid_dropout(written), pattern


class _MLP(nn.Module):
    """An MLP without a gate."""

    def __init__(self, config: KnownCircuitsConfig) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.n_inner, config.n_embd)
        self.act = _Activation(config)
        self.c_proj = Conv1D(config.n_embd, config.n_inner)

    def forward(self, hidden_states: Tensor) -> Tensor:
        out: Tensor = self.c_proj(self.act(self.c_fc(hidden_states)))
        return out


class _Activation(nn.Module):
    """An activation as a module, which can be hooked."""

    def __init__(self, config: KnownCircuitsConfig) -> None:
        super().__init__()
        self.function = ACTIVATIONS[config.activation_function]  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def gpt2_norm(norm: str, d_model: int, eps: float) -> nn.Module:
    """A norm as a module, or what passes its input on."""
    if norm == "none":
        return nn.Identity()
    return (nn.LayerNorm if norm == "layer" else nn.RMSNorm)(d_model, eps=eps)


AutoConfig.register(KnownCircuitsConfig.model_type, KnownCircuitsConfig, exist_ok=True)
AutoModelForCausalLM.register(KnownCircuitsConfig, KnownCircuitsForCausalLM, exist_ok=True)
