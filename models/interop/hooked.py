"""The hooked twin: the same model written plainly, with HookedTransformer's hooks.

TransformerLens 4 removed HookedTransformer, whose hooks circuit code is written for; `HookedTwin`
has the same hook names, tensor shapes and parameter names. It shares no code with the fast path in
`knowncircuits.transformer`, so it is the independent engine that the fast path is checked against.
"""

# ruff: noqa: N815  (b_Q and the like are TransformerLens's names)

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.inference import ordinary_tensors
from knowncircuits.layers import ROTARY_BASE
from knowncircuits.models.interop.hooked_parts import Block, Embed, PosEmbed, Unembed, make_norm
from knowncircuits.models.interop.hooks import read_units, run_patched
from knowncircuits.models.interop.lens_library import (
    HookedRootModule,
    HookPoint,
    TransformerBridgeConfig,
)
from knowncircuits.primitive import Run
from knowncircuits.transformer import Transformer

NORMALIZATION_TYPES = {"none": None, "layer": "LN", "rms": "RMS"}  # TransformerLens's names


@takes(model=Transformer)
def to_hooked(model: Transformer) -> HookedTwin:
    """Copy the model's weights into a hooked twin of the same dtype on the same device."""
    with ordinary_tensors(), torch.device(model.device):
        twin = HookedTwin(lens_config(model))
    twin.to(device=model.device, dtype=model.dtype).load_state_dict(lens_state_dict(model))
    return twin


def lens_config(model: Transformer) -> TransformerBridgeConfig:
    """The model's sizes and choices as a TransformerLens configuration."""
    c = model.config
    rotary = c.positions == "rotary"
    return TransformerBridgeConfig(
        n_layers=c.n_layers,
        n_heads=c.n_heads,
        d_model=c.d_model,
        d_head=c.d_head,
        d_mlp=c.d_mlp,
        n_ctx=c.n_ctx,
        d_vocab=c.d_vocab,
        d_vocab_out=c.d_vocab_out,
        act_fn=c.activation,
        attn_only=c.d_mlp == 0,
        attention_dir="causal" if c.causal else "bidirectional",
        gated_mlp=c.gated,
        normalization_type=NORMALIZATION_TYPES[c.norm],
        eps=c.norm_eps,
        positional_embedding_type="rotary" if rotary else "standard",
        rotary_dim=c.d_head // 2 * 2 if rotary else None,
        rotary_adjacent_pairs=rotary,
        rotary_base=ROTARY_BASE,
        device=str(model.device),
        dtype=model.dtype,
    )


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

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        """Weights are uninitialised; `to_hooked` fills them."""
        super().__init__()
        self.cfg = cfg
        self.rotary = cfg.positional_embedding_type == "rotary"
        inputs = ("embed",) if self.rotary else ("embed", "pos")
        self.graph = Graph(cfg.n_layers, cfg.n_heads, mlp=not cfg.attn_only, inputs=inputs)
        cfg.use_split_qkv_input = cfg.use_attn_in = True
        cfg.use_attn_result = cfg.use_hook_mlp_in = True
        self.embed = Embed(cfg)
        self.hook_embed = HookPoint()
        if not self.rotary:
            self.pos_embed = PosEmbed(cfg)
            self.hook_pos_embed = HookPoint()
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_layers))
        self.ln_final = make_norm(cfg)
        self.unembed = Unembed(cfg)
        self.setup()

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq d_vocab_out"]:
        """The logits; hooks that were added fire on the way."""
        resid = self.hook_embed(self.embed(tokens))
        if not self.rotary:
            resid = resid + self.hook_pos_embed(self.pos_embed(tokens))
        for block in self.blocks:
            resid = block(resid)
        logits: Tensor = self.unembed(self.ln_final(resid))
        return logits

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

    def set_use_split_qkv_input(self, use: bool) -> None:
        """Accept True, which always holds here; ModelError for False."""
        _always_on("use_split_qkv_input", use)

    def set_use_attn_result(self, use: bool) -> None:
        """Accept True, which always holds here; ModelError for False."""
        _always_on("use_attn_result", use)

    def set_use_hook_mlp_in(self, use: bool) -> None:
        """Accept True, which always holds here; ModelError for False."""
        _always_on("use_hook_mlp_in", use)


def _always_on(flag: str, use: bool) -> None:
    if not use:
        raise ModelError(f"expected {flag}=True, which a hooked twin cannot switch off, got False")
