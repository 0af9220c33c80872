"""The hooked twin: the same model written plainly, with HookedTransformer's hooks.

TransformerLens 4 removed HookedTransformer, whose hooks circuit code is written for; `HookedTwin`
has the same hook names, tensor shapes and parameter names. It shares no code with the fast path in
`knowncircuits.transformer`, so it is the independent engine that the fast path is checked against.
"""

# ruff: noqa: N815  (b_Q and the like are TransformerLens's names)

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformer_lens import HookedRootModule, TransformerBridgeConfig
from transformer_lens.hook_points import HookPoint

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.inference import ordinary_tensors
from knowncircuits.layers import ROTARY_BASE
from knowncircuits.models.interop.hooks import run_patched
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
        positional_embedding_type="rotary" if c.positions == "rotary" else "standard",
        rotary_dim=c.d_head // 2 * 2 if c.positions == "rotary" else None,
        rotary_base=ROTARY_BASE,
        device=str(model.device),
        dtype=model.dtype,
    )


def lens_state_dict(model: Transformer) -> dict[str, Tensor]:
    """The model's weights under HookedTransformer's names, in its shapes."""
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
        self.embed = _Embed(cfg)
        self.hook_embed = HookPoint()
        if not self.rotary:
            self.pos_embed = _PosEmbed(cfg)
            self.hook_pos_embed = HookPoint()
        self.blocks = nn.ModuleList(_Block(cfg) for _ in range(cfg.n_layers))
        self.ln_final = _norm(cfg)
        self.unembed = _Unembed(cfg)
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
    ) -> Run:
        """The primitive, as `Transformer.run` has it, through hooks alone; see `run_patched`."""
        return run_patched(self, tokens, alternative, mask)

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


class _Embed(nn.Module):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.W_E[tokens]


class _PosEmbed(nn.Module):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.W_pos[: tokens.shape[1]].repeat(tokens.shape[0], 1, 1)


class _Unembed(nn.Module):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.empty(cfg.d_model, cfg.d_vocab_out))
        self.b_U = nn.Parameter(torch.empty(cfg.d_vocab_out))

    def forward(self, resid: Tensor) -> Tensor:
        return resid @ self.W_U + self.b_U


class _Block(nn.Module):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.n_heads = cfg.n_heads
        self.hook_resid_pre = HookPoint()
        self.hook_attn_in = HookPoint()  # [batch, pos, head, d_model], then one copy for each of:
        self.hook_q_input = HookPoint()
        self.hook_k_input = HookPoint()
        self.hook_v_input = HookPoint()
        self.ln1 = _norm(cfg)
        self.attn = _Attention(cfg)
        self.hook_attn_out = HookPoint()
        self.mlp = None if cfg.attn_only else _GatedMLP(cfg) if cfg.gated_mlp else _MLP(cfg)
        if self.mlp:
            self.hook_resid_mid = HookPoint()
            self.hook_mlp_in = HookPoint()
            self.ln2 = _norm(cfg)
            self.hook_mlp_out = HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(self, resid: Tensor) -> Tensor:
        resid = self.hook_resid_pre(resid)
        # Copies, because hooks of existing circuit code write into the tensors they are given.
        heads = self.hook_attn_in(resid[:, :, None].repeat(1, 1, self.n_heads, 1))
        q_input = self.ln1(self.hook_q_input(heads.clone()))
        k_input = self.ln1(self.hook_k_input(heads.clone()))
        v_input = self.ln1(self.hook_v_input(heads.clone()))
        resid = resid + self.hook_attn_out(self.attn(q_input, k_input, v_input))
        if self.mlp:
            resid = self.hook_resid_mid(resid)
            mlp_in = self.ln2(self.hook_mlp_in(resid.clone()))
            resid = resid + self.hook_mlp_out(self.mlp(mlp_in))
        post: Tensor = self.hook_resid_post(resid)
        return post


class _Attention(nn.Module):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.cfg = cfg
        heads, d_model, d_head = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q = nn.Parameter(torch.empty(heads, d_model, d_head))
        self.W_K = nn.Parameter(torch.empty(heads, d_model, d_head))
        self.W_V = nn.Parameter(torch.empty(heads, d_model, d_head))
        self.b_Q = nn.Parameter(torch.empty(heads, d_head))
        self.b_K = nn.Parameter(torch.empty(heads, d_head))
        self.b_V = nn.Parameter(torch.empty(heads, d_head))
        self.W_O = nn.Parameter(torch.empty(heads, d_head, d_model))
        self.b_O = nn.Parameter(torch.empty(d_model))
        self.hook_q = HookPoint()  # [batch, pos, head, d_head], as k, v and z
        self.hook_k = HookPoint()
        self.hook_v = HookPoint()
        self.rotary = cfg.positional_embedding_type == "rotary"
        if self.rotary:
            self.hook_rot_q = HookPoint()
            self.hook_rot_k = HookPoint()
        self.hook_attn_scores = HookPoint()  # [batch, head, query, key], as pattern
        self.hook_pattern = HookPoint()
        self.hook_z = HookPoint()
        self.hook_result = HookPoint()  # [batch, pos, head, d_model], without b_O

    def forward(self, q_input: Tensor, k_input: Tensor, v_input: Tensor) -> Tensor:
        project = "bphm,hmd->bphd"
        q = self.hook_q(torch.einsum(project, q_input, self.W_Q) + self.b_Q)
        k = self.hook_k(torch.einsum(project, k_input, self.W_K) + self.b_K)
        v = self.hook_v(torch.einsum(project, v_input, self.W_V) + self.b_V)
        if self.rotary:
            q, k = self.hook_rot_q(self._rotate(q)), self.hook_rot_k(self._rotate(k))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / self.cfg.d_head**0.5
        if self.cfg.attention_dir == "causal":
            query, key = torch.meshgrid(
                torch.arange(q.shape[1], device=q.device),
                torch.arange(k.shape[1], device=q.device),
                indexing="ij",
            )
            scores = scores.where(key <= query, -torch.inf)
        pattern = self.hook_pattern(self.hook_attn_scores(scores).softmax(-1))
        z = self.hook_z(torch.einsum("bhqk,bkhd->bqhd", pattern, v))
        result = self.hook_result(torch.einsum("bphd,hdm->bphm", z, self.W_O))
        out: Tensor = result.sum(2) + self.b_O
        return out

    def _rotate(self, x: Tensor) -> Tensor:
        """Numbers 2i and 2i + 1 as one complex number, times e to the i position / base^(2i/d)."""
        size = self.cfg.rotary_dim
        position = torch.arange(x.shape[1], device=x.device, dtype=torch.float64)
        plane = torch.arange(0, size, 2, device=x.device, dtype=torch.float64)
        angle = torch.outer(position, self.cfg.rotary_base ** (-plane / size))
        turn = torch.polar(torch.ones_like(angle), angle)[:, None]
        numbers = torch.complex(x[..., 0:size:2].double(), x[..., 1:size:2].double())
        rotated = torch.view_as_real(numbers * turn).flatten(-2).to(x.dtype)
        return torch.cat([rotated, x[..., size:]], -1)


class _MLP(nn.Module):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.b_in = nn.Parameter(torch.empty(cfg.d_mlp))
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.empty(cfg.d_model))
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.act_fn = _activation(cfg.act_fn)

    def forward(self, mlp_in: Tensor) -> Tensor:
        pre = self.hook_pre(mlp_in @ self.W_in + self.b_in)
        out: Tensor = self.hook_post(self.act_fn(pre)) @ self.W_out + self.b_out
        return out


class _GatedMLP(_MLP):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__(cfg)
        self.W_gate = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.b_gate = nn.Parameter(torch.empty(cfg.d_mlp))
        self.hook_pre_linear = HookPoint()

    def forward(self, mlp_in: Tensor) -> Tensor:
        pre = self.hook_pre(mlp_in @ self.W_gate + self.b_gate)
        linear = self.hook_pre_linear(mlp_in @ self.W_in + self.b_in)
        out: Tensor = self.hook_post(self.act_fn(pre) * linear) @ self.W_out + self.b_out
        return out


class _LayerNorm(nn.Module):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.empty(cfg.d_model))
        self.b = nn.Parameter(torch.empty(cfg.d_model))
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        normalized: Tensor = self.hook_normalized(x / scale * self.w + self.b)
        return normalized


class _RMSNorm(nn.Module):
    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.empty(cfg.d_model))
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        scale = self.hook_scale((x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        normalized: Tensor = self.hook_normalized(x / scale * self.w)
        return normalized


def _norm(cfg: TransformerBridgeConfig) -> nn.Module:
    if cfg.normalization_type is None:
        return nn.Identity()
    return _RMSNorm(cfg) if cfg.normalization_type == "RMS" else _LayerNorm(cfg)


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    if name == "relu":
        return torch.relu
    if name == "gelu":
        return lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2
    if name == "silu":
        return lambda x: x / (1 + torch.exp(-x))
    return lambda x: functional.gelu(x, approximate="tanh")
