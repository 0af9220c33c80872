"""The hooked twin: the same model written plainly, with HookedTransformer's hooks.

TransformerLens 4 removed HookedTransformer, whose hooks circuit code is written for; `HookedTwin`
has the same hook names, tensor shapes and parameter names. It shares no code with the fast path in
`knowncircuits.transformer`, so it is the independent engine that the fast path is checked against.
"""

# ruff: noqa: N815  (b_Q and the like are TransformerLens's names)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.errors import InputError, ModelError
from knowncircuits.graph import Graph
from knowncircuits.inference import ordinary_tensors
from knowncircuits.layers import ROTARY_BASE
from knowncircuits.models.interop.hooked_parts import Block, Embed, PosEmbed, Unembed, make_norm
from knowncircuits.models.interop.hooked_text import (
    PaddingSide,
    Text,
    TokenizedText,
)
from knowncircuits.models.interop.hooks import read_units, run_patched
from knowncircuits.models.interop.lens_library import (
    ActivationCache,
    FactoredMatrix,
    HookedRootModule,
    HookPoint,
    TransformerBridgeConfig,
)
from knowncircuits.models.interop.lens_out import (
    Subject,
    lens_fields,
    lens_state_dict,
    parts_of,
)
from knowncircuits.primitive import Run
from knowncircuits.rasp.vocabulary import Vocabulary
from knowncircuits.transformer import Transformer

ReturnType = Literal["logits", "loss", "both"]


def to_hooked(subject: Subject, *, vocabulary: Vocabulary | None = None) -> HookedTwin:
    """Copy the model's weights into a hooked twin of the same dtype on the same device.

    It is in evaluation mode, and takes text where the vocabulary is known.

    Args:
        subject: a compiled, trained or wired model, or the transformer of one.
        vocabulary: of a transformer alone, to have a tokenizer with it.
    """
    model, known = parts_of(subject)
    with ordinary_tensors(), torch.device(model.device):
        twin = HookedTwin(lens_config(model))
    twin.to(device=model.device, dtype=model.dtype).load_state_dict(lens_state_dict(model))
    twin.text = TokenizedText(vocabulary or known, twin.cfg.n_ctx)
    twin.eval()
    return twin


def lens_config(model: Transformer) -> TransformerBridgeConfig:
    """The model's sizes and choices as a TransformerLens 4 configuration."""
    fields = lens_fields(model)
    for name in ("init_weights", "use_attn_result", "use_split_qkv_input", "use_hook_mlp_in"):
        del fields[name]
    return TransformerBridgeConfig(
        **fields | {"d_mlp": model.config.d_mlp, "rotary_base": ROTARY_BASE},
        device=str(model.device),
        dtype=model.dtype,
    )


def _stacked(parameter: str) -> property:
    """A weight of all layers in one tensor; AttributeError where the model has none."""
    return property(lambda twin: torch.stack([b.get_parameter(parameter) for b in twin.blocks]))


class HookedTwin(HookedRootModule):  # type: ignore[misc]
    """A transformer whose every intermediate value passes a hook named as in HookedTransformer.

    The inputs of a head (`blocks.0.hook_q_input` and so on, [batch, pos, head, d_model], before the
    norm), every head's result and the MLP's input are always there to be hooked.
    """

    W_E = property(lambda twin: twin.embed.W_E)  # [token, d_model]
    W_pos = property(lambda twin: twin.pos_embed.W_pos)  # [pos, d_model]
    W_Q = _stacked("attn.W_Q")  # [layer, head, d_model, d_head]
    W_K = _stacked("attn.W_K")
    W_V = _stacked("attn.W_V")
    W_O = _stacked("attn.W_O")  # [layer, head, d_head, d_model]
    b_Q = _stacked("attn.b_Q")  # [layer, head, d_head]
    b_K = _stacked("attn.b_K")
    b_V = _stacked("attn.b_V")
    b_O = _stacked("attn.b_O")  # [layer, d_model]
    W_in = _stacked("mlp.W_in")  # [layer, d_model, d_mlp]
    b_in = _stacked("mlp.b_in")
    W_out = _stacked("mlp.W_out")  # [layer, d_mlp, d_model]
    b_out = _stacked("mlp.b_out")
    W_gate = _stacked("mlp.W_gate")  # [layer, d_model, d_mlp], of gated MLPs, as is:
    b_gate = _stacked("mlp.b_gate")
    W_U = property(lambda twin: twin.unembed.W_U)  # [d_model, d_vocab_out]
    b_U = property(lambda twin: twin.unembed.b_U)

    def __init__(self, cfg: TransformerBridgeConfig, tokenizer: Any = None) -> None:
        """Weights are uninitialised; `to_hooked` fills them."""
        super().__init__()
        self.cfg = cfg
        if cfg.d_vocab_out == -1:  # as many outputs as tokens, as HookedTransformer has it
            cfg.d_vocab_out = cfg.d_vocab
        self.rotary = cfg.positional_embedding_type == "rotary"
        inputs = ("embed",) if self.rotary else ("embed", "pos")
        self.graph = Graph(cfg.n_layers, cfg.n_heads, mlp=not cfg.attn_only, inputs=inputs)
        cfg.use_split_qkv_input = cfg.use_attn_in = True
        cfg.use_attn_result = cfg.use_hook_mlp_in = True
        cfg.tokenizer_prepends_bos = True
        self.embed = Embed(cfg)
        self.hook_embed = HookPoint()
        if not self.rotary:
            self.pos_embed = PosEmbed(cfg)
            self.hook_pos_embed = HookPoint()
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_layers))
        self.ln_final = make_norm(cfg)
        self.unembed = Unembed(cfg)
        self.text = TokenizedText(None, cfg.n_ctx)
        if tokenizer is not None:
            self.set_tokenizer(tokenizer)
        self.setup()

    def forward(
        self,
        input: Tensor | Text,  # noqa: A002
        return_type: ReturnType | None = "logits",
        loss_per_token: bool = False,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        start_at_layer: int | None = None,
        tokens: Int[Tensor, "batch seq"] | None = None,
        shortformer_pos_embed: None = None,
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        stop_at_layer: int | None = None,
        past_kv_cache: None = None,
    ) -> Any:
        """The logits [batch, seq, d_vocab_out]; hooks that were added fire on the way.

        Args:
            input: ids [batch, seq] or [seq], texts, or with `start_at_layer` a residual stream.
            return_type: `logits`, `loss` of predicting the next token, `both`, or None for nothing.
            loss_per_token: the loss [batch, seq - 1] instead of its mean.
            prepend_bos: False to have texts without BOS.
            padding_side: of texts of several lengths, by default the tokenizer's, right.
            start_at_layer: the first layer to run; from the end if negative.
            tokens: for the loss where the input is a residual stream.
            shortformer_pos_embed: None; our positions are none of these.
            attention_mask: 0 at positions that no head is to attend to, such as PAD.
            stop_at_layer: the layer before which to stop, and return the residual stream.
            past_kv_cache: None; nothing is generated.

        Raises ModelError for what is not there, such as texts without a tokenizer.
        """
        if shortformer_pos_embed is not None or past_kv_cache is not None:
            raise ModelError("expected no shortformer positions and no cache of keys, got one")
        if start_at_layer is None:
            resid, tokens, _, attention_mask = self.input_to_embed(
                input, prepend_bos, padding_side, attention_mask
            )
        else:
            assert isinstance(input, Tensor)
            resid = input
        for block in list(self.blocks)[start_at_layer or 0 : stop_at_layer]:
            resid = block(resid, attention_mask)
        if stop_at_layer is not None:
            return resid
        logits = self.unembed(self.ln_final(resid))
        if return_type is None:
            return None
        if return_type == "logits":
            return logits
        if tokens is None:
            raise ModelError("expected tokens for the loss of a residual stream, got none")
        loss = self.loss_fn(logits, tokens, attention_mask, per_token=loss_per_token)
        return loss if return_type == "loss" else (logits, loss)

    def input_to_embed(
        self,
        input: Tensor | Text,  # noqa: A002
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        attention_mask: Int[Tensor, "batch seq"] | None = None,
    ) -> tuple[Tensor, Tensor, None, Tensor | None]:
        """The first residual stream, the ids, None, and the mask, as HookedTransformer gives them.

        Raises ModelError for texts without a tokenizer and for a mask of another shape.
        """
        if not isinstance(input, Tensor):
            input = self.to_tokens(input, prepend_bos, padding_side)  # noqa: A001
        tokens = input.to(self.device)
        tokens = tokens[None] if tokens.ndim == 1 else tokens
        if attention_mask is not None:
            if attention_mask.shape != tokens.shape:
                raise ModelError(
                    f"expected an attention mask of shape {list(tokens.shape)}, "
                    f"got {list(attention_mask.shape)}"
                )
            attention_mask = attention_mask.to(self.device)
        resid = self.hook_embed(self.embed(tokens))
        if not self.rotary:
            resid = resid + self.hook_pos_embed(self.pos_embed(tokens))
        return resid, tokens, None, attention_mask

    def loss_fn(
        self,
        logits: Float[Tensor, "batch seq d_vocab_out"],
        tokens: Int[Tensor, "batch seq"],
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        per_token: bool = False,
    ) -> Tensor:
        """The cross-entropy of the next token, [batch, seq - 1] or its mean.

        With a mask the mean is of positions that are not masked, and whose next one is not.
        """
        chosen = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        if attention_mask is not None:
            counts = (attention_mask[:, :-1] * attention_mask[:, 1:]).to(chosen.dtype)
            return -chosen * counts if per_token else -(chosen * counts).sum() / counts.sum()
        return -chosen if per_token else -chosen.mean()

    def run_with_cache(
        self,
        *inputs: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        **rest: Any,
    ) -> tuple[Any, ActivationCache | dict[str, Tensor]]:
        """Run the model with every hook's value kept in an ActivationCache, or in a dict."""
        out, cache = super().run_with_cache(*inputs, remove_batch_dim=remove_batch_dim, **rest)
        if return_cache_object:
            cache = ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)
        return out, cache

    def run(
        self,
        tokens: Int[Tensor, "batch seq"],
        alternative: Float[Tensor, "#batch source seq d_model"] | None = None,
        mask: Float[Tensor, "#batch edge"] | Float[Tensor, "#batch edge seq"] | None = None,
        rules: BackwardRules = PLAIN,
    ) -> Run:
        """The primitive, as `Transformer.run` has it, through hooks alone; see `run_patched`."""
        return run_patched(self, tokens, alternative, mask, rules)

    def hidden_units(
        self, tokens: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch layer seq unit"]:
        """The hidden units of every MLP, through hooks; see `read_units`."""
        return read_units(self, tokens, self.graph)

    @property
    def unit_weights(self) -> Float[Tensor, "layer unit d_model"]:
        """What each hidden unit writes for a value of 1."""
        weights: Tensor = self.W_out
        return weights

    @property
    def config(self) -> TransformerBridgeConfig:
        """`cfg`, by the name that other libraries look for."""
        return self.cfg

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        place: torch.device = self.embed.W_E.device
        return place

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, of Hugging Face's kind; None where the vocabulary is not known."""
        return self.text.tokenizer

    def set_tokenizer(self, tokenizer: Any, default_padding_side: PaddingSide = "right") -> None:
        """Read texts by this tokenizer, which is to put BOS before them."""
        tokenizer.padding_side = default_padding_side
        self.text = TokenizedText(tokenizer, self.cfg.n_ctx)

    def to_tokens(
        self,
        input: Text,  # noqa: A002
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        move_to_device: bool = True,
        truncate: bool = True,
    ) -> Int[Tensor, "batch pos"]:
        """Ids of texts, whose words are tokens; see `TokenizedText.to_tokens`."""
        ids = self.text.to_tokens(input, prepend_bos, padding_side, truncate)
        return ids.to(self.device) if move_to_device else ids

    def to_string(self, tokens: Tensor | Sequence[Any]) -> str | list[str]:
        """The text of ids [pos], or texts of ids [batch, pos]."""
        return self.text.to_string(tokens)

    def to_str_tokens(
        self,
        input: Tensor | Text,  # noqa: A002
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
    ) -> list[str] | list[list[str]]:
        """The words of a text or of ids [pos] or [1, pos]; for a list of texts, of each."""
        if isinstance(input, list):
            return [self.text.to_words(self.to_tokens(text, prepend_bos)[0]) for text in input]
        ids = self.to_tokens(input, prepend_bos, padding_side) if isinstance(input, str) else input
        return self.text.to_words(ids.reshape(-1))

    def to_single_token(self, string: str) -> int:
        """The id of a word; InputError for more than one word or one that is no token."""
        ids = self.to_tokens(string, prepend_bos=False)
        if ids.shape != (1, 1):
            raise InputError(f"expected one token, got {string!r}")
        return int(ids)

    def to_single_str_token(self, int_token: int) -> str:
        """The word of an id."""
        return self.text.to_words([int_token])[0]

    def tokens_to_residual_directions(self, tokens: Tensor | str | int) -> Tensor:
        """The columns of the unembedding for outputs, [..., d_model]: what writes their logits.

        Outputs are told by their ids: where they are no tokens of the input, a word names none.
        """
        ids = self.to_single_token(tokens) if isinstance(tokens, str) else tokens
        directions: Tensor = self.W_U.T[ids]
        return directions

    @property
    def QK(self) -> FactoredMatrix:
        """Each head's W_Q W_K^T, [layer, head, d_model, d_model], in its two factors."""
        return FactoredMatrix(self.W_Q, self.W_K.mT)

    @property
    def OV(self) -> FactoredMatrix:
        """Each head's W_V W_O, [layer, head, d_model, d_model], in its two factors."""
        return FactoredMatrix(self.W_V, self.W_O)

    @property
    def W_E_pos(self) -> Float[Tensor, "token_and_pos d_model"]:
        """The embeddings of tokens, and below them those of positions."""
        return torch.cat([self.W_E, self.W_pos])

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, " d_model"]:
        """The biases that are in the residual stream before a layer, or before its MLP."""
        total = torch.zeros_like(self.W_E[0])
        for name, parameter in self.named_parameters():
            block, _, part = name.removeprefix("blocks.").partition(".")
            if part == "attn.b_O" and int(block) < layer + mlp_input:
                total = total + parameter
            if part == "mlp.b_out" and include_mlp_biases and int(block) < layer:
                total = total + parameter
        return total

    def all_head_labels(self) -> list[str]:
        """`L0H1` and so on, layer by layer."""
        return [f"L{i}H{h}" for i in range(self.cfg.n_layers) for h in range(self.cfg.n_heads)]

    def set_use_split_qkv_input(self, use: bool) -> None:
        """Accept True, which always holds here; ModelError for False."""
        _always_on("use_split_qkv_input", use)

    def set_use_attn_result(self, use: bool) -> None:
        """Accept True, which always holds here; ModelError for False."""
        _always_on("use_attn_result", use)

    def set_use_hook_mlp_in(self, use: bool) -> None:
        """Accept True, which always holds here; ModelError for False."""
        _always_on("use_hook_mlp_in", use)

    def set_use_attn_in(self, use: bool) -> None:
        """Accept True, which always holds here; ModelError for False."""
        _always_on("use_attn_in", use)

    def set_ungroup_grouped_query_attention(self, use: bool) -> None:
        """Accept either: every head has keys and values of its own."""
        self.cfg.ungroup_grouped_query_attention = use


def _always_on(flag: str, use: bool) -> None:
    if not use:
        raise ModelError(f"expected {flag}=True, which a hooked twin cannot switch off, got False")
