"""The parts of the hooked twin: plain modules with HookedTransformer's hooks and weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from knowncircuits.models.interop.lens_library import HookPoint, TransformerBridgeConfig


class Embed(nn.Module):
    """Tokens: `W_E` [token, d_model]."""

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, pos, d_model] of tokens [batch, pos]."""
        return self.W_E[tokens]


class PosEmbed(nn.Module):
    """Learned positions: `W_pos` [pos, d_model]."""

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, tokens: Tensor) -> Tensor:
        """The same for every input of the batch: [batch, pos, d_model]."""
        return self.W_pos[: tokens.shape[1]].repeat(tokens.shape[0], 1, 1)


class Unembed(nn.Module):
    """Logits: `W_U` [d_model, d_vocab_out]."""

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.empty(cfg.d_model, cfg.d_vocab_out))
        self.b_U = nn.Parameter(torch.empty(cfg.d_vocab_out))

    def forward(self, resid: Tensor) -> Tensor:
        """[batch, pos, d_vocab_out] of the residual stream."""
        return resid @ self.W_U + self.b_U


class Block(nn.Module):
    """A layer, whose heads read a copy of the residual stream each for q, k and v."""

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.n_heads = cfg.n_heads
        self.hook_resid_pre = HookPoint()
        self.hook_attn_in = HookPoint()  # [batch, pos, head, d_model], then one copy for each of:
        self.hook_q_input = HookPoint()
        self.hook_k_input = HookPoint()
        self.hook_v_input = HookPoint()
        self.ln1 = make_norm(cfg)
        self.attn = Attention(cfg)
        self.hook_attn_out = HookPoint()
        self.mlp = None if cfg.attn_only else GatedMLP(cfg) if cfg.gated_mlp else MLP(cfg)
        if self.mlp:
            self.hook_resid_mid = HookPoint()
            self.hook_mlp_in = HookPoint()
            self.ln2 = make_norm(cfg)
            self.hook_mlp_out = HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(self, resid: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The residual stream [batch, pos, d_model] with what the layer writes."""
        resid = self.hook_resid_pre(resid)
        # Copies, because hooks of existing circuit code write into the tensors they are given.
        heads = self.hook_attn_in(resid[:, :, None].repeat(1, 1, self.n_heads, 1))
        q_input = self.ln1(self.hook_q_input(heads.clone()))
        k_input = self.ln1(self.hook_k_input(heads.clone()))
        v_input = self.ln1(self.hook_v_input(heads.clone()))
        resid = resid + self.hook_attn_out(self.attn(q_input, k_input, v_input, attention_mask))
        if self.mlp:
            resid = self.hook_resid_mid(resid)
            mlp_in = self.ln2(self.hook_mlp_in(resid.clone()))
            resid = resid + self.hook_mlp_out(self.mlp(mlp_in))
        post: Tensor = self.hook_resid_post(resid)
        return post


class Attention(nn.Module):
    """The heads of a layer."""

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

    def forward(
        self,
        q_input: Tensor,
        k_input: Tensor,
        v_input: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """[batch, pos, d_model] of inputs [batch, pos, head, d_model].

        `attention_mask` [batch, pos] is 0 at positions that are not to be attended to.
        """
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
        if attention_mask is not None:
            scores = scores.where(attention_mask[:, None, None, :] != 0, -torch.inf)
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


class MLP(nn.Module):
    """The MLP of a layer."""

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
        """[batch, pos, d_model] of inputs of the same shape."""
        pre = self.hook_pre(mlp_in @ self.W_in + self.b_in)
        out: Tensor = self.hook_post(self.act_fn(pre)) @ self.W_out + self.b_out
        return out


class GatedMLP(nn.Module):
    """The gated MLP of a layer: what `W_gate` reads is activated, and multiplies the rest."""

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.W_gate = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.b_gate = nn.Parameter(torch.empty(cfg.d_mlp))
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.b_in = nn.Parameter(torch.empty(cfg.d_mlp))
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.empty(cfg.d_model))
        self.hook_pre = HookPoint()
        self.hook_pre_linear = HookPoint()
        self.hook_post = HookPoint()
        self.act_fn = _activation(cfg.act_fn)

    def forward(self, mlp_in: Tensor) -> Tensor:
        """[batch, pos, d_model] of inputs of the same shape."""
        pre = self.hook_pre(mlp_in @ self.W_gate + self.b_gate)
        linear = self.hook_pre_linear(mlp_in @ self.W_in + self.b_in)
        out: Tensor = self.hook_post(self.act_fn(pre) * linear) @ self.W_out + self.b_out
        return out


class LayerNorm(nn.Module):
    """Without the mean, over the standard deviation, then `w` and `b`."""

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.empty(cfg.d_model))
        self.b = nn.Parameter(torch.empty(cfg.d_model))
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, whatever it is: vectors are in the last dimension."""
        x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        normalized: Tensor = self.hook_normalized(x / scale * self.w + self.b)
        return normalized


class RMSNorm(nn.Module):
    """Over the root of the mean square, then `w`."""

    def __init__(self, cfg: TransformerBridgeConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.empty(cfg.d_model))
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, whatever it is: vectors are in the last dimension."""
        scale = self.hook_scale((x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        normalized: Tensor = self.hook_normalized(x / scale * self.w)
        return normalized


def make_norm(cfg: TransformerBridgeConfig) -> nn.Module:
    """The norm that a configuration asks for; the identity for none."""
    if cfg.normalization_type is None:
        return nn.Identity()
    return RMSNorm(cfg) if cfg.normalization_type == "RMS" else LayerNorm(cfg)


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    if name == "relu":
        return torch.relu
    if name == "gelu":
        return lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2
    if name == "silu":
        return lambda x: x / (1 + torch.exp(-x))
    return lambda x: functional.gelu(x, approximate="tanh")
