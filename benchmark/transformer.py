"""A plain transformer whose every edge can be patched: compiled and trained models are both one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from knowncircuits.architecture import TransformerConfig
from knowncircuits.backward import PLAIN, BackwardRules, frozen, linear, scaled, tempered
from knowncircuits.checks.arguments import expect
from knowncircuits.errors import ModelError
from knowncircuits.inference import ordinary_tensors
from knowncircuits.layers import ACTIVATIONS, future_keys, rotations, turned
from knowncircuits.primitive import Patch, Run, check_run
from knowncircuits.shown import Card, Shown, counted


class Transformer(Shown, nn.Module):
    """A decoder or encoder with the choices of its configuration, and the primitive `run`.

    Weights are stacked over layers, and over q, k and v: `W_QKV[layer, 0]` is what TransformerLens
    calls `blocks[layer].attn.W_Q`.
    """

    future: Tensor  # [n_ctx, n_ctx]: the keys that causal attention hides
    turns: Tensor  # [2, 3, n_ctx, d_head]: see `rotations`; only of rotary positions
    # Whether runs take masks as they are, without a look at what is zero: `torch.func.vmap` cannot
    # take that look, and a GPU has to wait for it.
    dense_masks = False

    @ordinary_tensors()
    def __init__(
        self,
        config: TransformerConfig,
        *,
        hidden: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        """All weights are zero (gains one); see `initialise` for a random start.

        `hidden` says how many units each layer's MLP uses where some use fewer than `d_mlp`: the
        first ones. Compiled layers differ tenfold, and no run computes the others, which are zero.
        Raises ModelError for another number of layers.
        """
        super().__init__()
        expect(config, TransformerConfig, "config")
        self.config = c = config
        self.graph = config.graph
        self.hidden = tuple(hidden or [c.d_mlp] * c.n_layers)
        if len(self.hidden) != c.n_layers:
            raise ModelError(f"expected hidden of {c.n_layers} layers, got {len(self.hidden)}")
        L, H, D, K, M = c.n_layers, c.n_heads, c.d_model, c.d_head, c.d_mlp

        def parameter(*shape: int, fill: float = 0.0) -> nn.Parameter:
            return nn.Parameter(torch.full(shape, fill, dtype=dtype, device=device))

        self.W_E = parameter(c.d_vocab, D)
        if c.positions == "learned":
            self.W_pos = parameter(c.n_ctx, D)
        self.W_QKV = parameter(L, 3, H, D, K)
        self.b_QKV = parameter(L, 3, H, K)
        self.W_O = parameter(L, H, K, D)
        self.b_O = parameter(L, D)
        if M:
            self.W_in = parameter(L, D, M)
            self.b_in = parameter(L, M)
            self.W_out = parameter(L, M, D)
            self.b_out = parameter(L, D)
        if c.gated:
            self.W_gate = parameter(L, D, M)
            self.b_gate = parameter(L, M)
        self.W_U = parameter(D, c.d_vocab_out)
        self.b_U = parameter(c.d_vocab_out)
        if c.norms:
            self.ln_w = parameter(len(c.norms), D, fill=1.0)
        if c.norm == "layer":
            self.ln_b = parameter(len(c.norms), D)
        self.register_buffer("future", future_keys(c.n_ctx, device), persistent=False)
        if c.positions == "rotary":
            turns = rotations(c.n_ctx, K, dtype, device)
            self.register_buffer("turns", turns, persistent=False)

    def _card(self) -> Card:
        n = sum(parameter.numel() for parameter in self.parameters())
        dtype = str(self.dtype).removeprefix("torch.")
        sizes = f"d_model {self.config.d_model}"
        return Card("", (self.graph.summary(), sizes, f"{counted(n, 'weight')} of {dtype}"))

    def initialise(self, seed: int, *, gain: float = 1.0) -> Transformer:
        """Draw the weights: normal with std gain / sqrt(fan in), embeddings with 0.5 gain."""
        generator = torch.Generator(device="cpu").manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith("W_"):
                    fan_in = 4 if name in ("W_E", "W_pos") else parameter.shape[-2]
                    if name == "W_O":
                        fan_in *= self.config.n_heads
                    draw = torch.randn(
                        parameter.shape, generator=generator, dtype=torch.float64, device="cpu"
                    )
                    parameter.copy_(draw * gain * fan_in**-0.5)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.W_E.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' floating-point type."""
        return self.W_E.dtype

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq d_vocab_out"]:
        """The logits of an unpatched run."""
        return self.run(tokens).logits

    def run(
        self,
        tokens: Int[Tensor, "batch seq"],
        alternative: Float[Tensor, "#batch source seq d_model"] | None = None,
        mask: Float[Tensor, "#batch edge"] | Float[Tensor, "#batch edge seq"] | None = None,
        rules: BackwardRules = PLAIN,
    ) -> Run:
        """Run the model with some edges reading another value of their source.

        Args:
            tokens: ids, BOS first.
            alternative: for each source, another value of what it writes, such as its `outputs` on
                another input. A leading dimension of 1 is shared by the whole batch.
            mask: how far, from 0 to 1, each edge of `graph` reads the alternative; per position
                with a third axis. A leading dimension of 1 is shared. Gradients flow through it.
            rules: how gradients are handed on; what is returned is the same under all.

        Returns:
            The logits and what each source wrote *in this run*, `outputs`.

        Raises:
            ShapeError: for shapes that do not fit, or a mask without an alternative.
        """
        c = self.config
        check_run(self.graph, c.n_ctx, c.d_model, tokens, alternative, mask)
        batch, seq = tokens.shape
        residual = self.W_E[tokens]
        written = [residual]
        if c.positions == "learned":
            written.append(self.W_pos[:seq].expand(batch, seq, c.d_model))
            residual = residual + written[-1]
        patch = Patch(alternative, mask, written, dense=self.dense_masks)
        blocks = iter(self.graph.blocks)
        for layer in range(c.n_layers):
            query, _, value = next(blocks), next(blocks), next(blocks)
            read = partial(self.qkv, residual, layer=layer, rules=rules)
            q, k, v = patch.through(query.start, value.stop, query.n_sources, read)
            heads = self.heads(q, k, v, self.W_O[layer], rules)
            if dropped := layer == rules.dropped_layer:
                heads = heads.detach()
            written += heads.unbind()
            residual = residual + heads.sum(0) + self.b_O[layer]
            if c.d_mlp:
                block = next(blocks)
                inputs = patch.through(
                    block.start, block.stop, block.n_sources, partial(_added, residual)
                )
                out = self.mlp(inputs, layer, rules)
                written.append(out.detach() if dropped else out)
                residual = residual + written[-1]
        block = next(blocks)
        read = partial(_added, residual)
        residual = patch.through(block.start, block.stop, block.n_sources, read)
        return Run(self.unembed(residual, rules), written)

    def hidden_units(
        self, tokens: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch layer seq d_mlp"]:
        """The hidden units of every MLP in an unpatched run; those that no run computes are 0."""
        outputs, c = self.run(tokens).outputs, self.config
        found = outputs.new_zeros(len(tokens), c.n_layers * bool(c.d_mlp), tokens.shape[1], c.d_mlp)
        blocks = [block for block in self.graph.blocks if block.destinations[0].node.kind == "mlp"]
        for layer, block in enumerate(blocks):
            residual = outputs[:, : block.n_sources].sum(1) + self.b_O[: layer + 1].sum(0)
            found[:, layer, :, : self.hidden[layer]] = self.units(residual, layer)
        return found

    @property
    def unit_weights(self) -> Float[Tensor, "layer d_mlp d_model"]:
        """What each hidden unit writes for a value of 1."""
        return self.W_out if self.config.d_mlp else self.b_O[:0, None]

    # What `run` is made of, for those who compute only a part of it.

    def qkv(
        self,
        residual: Float[Tensor, "batch seq d_model"],
        delta: Float[Tensor, "#batch destination seq d_model"] | None,
        layer: int,
        rules: BackwardRules = PLAIN,
        *,
        first: int = 0,
    ) -> Float[Tensor, "3 batch head seq d_head"]:
        """Queries, keys and values of the residual stream, to which each input adds its delta.

        Unpatched, all heads read one input, which one matrix product serves. The stream may be that
        of the positions from `first` on.
        """
        if delta is None:
            projected = self.project(self.norm(residual, layer, rules), layer)
            return self.rotate(projected, first=first)
        batch, _, seq, d_model = delta.shape
        per_head = delta.reshape(batch, 3, self.config.n_heads, seq, d_model)
        inputs = residual[:, None, None] + per_head
        normed = self.norm(inputs, layer, rules)
        return self.rotate(self.project(normed, layer))

    def project(
        self,
        normed: Float[Tensor, "batch seq d_model"] | Float[Tensor, "batch 3 head seq d_model"],
        layer: int,
    ) -> Float[Tensor, "3 batch head seq d_head"]:
        """Queries, keys and values of what all inputs read, or each its own; not rotated."""
        inputs = "btd" if normed.ndim == 3 else "bghtd"
        projected = torch.einsum(f"{inputs},ghdk->gbhtk", normed, self.W_QKV[layer])
        return projected + self.b_QKV[layer][:, None, :, None]

    def rotate(
        self,
        projected: Float[Tensor, "*batch seq d_head"],
        letter: int | None = None,
        *,
        first: int = 0,
    ) -> Float[Tensor, "*batch seq d_head"]:
        """Rotary positions put in: into all of q, k and v, stacked first, or into one of them."""
        if self.config.positions != "rotary":
            return projected
        turns = self.turns[:, :, None, None] if letter is None else self.turns[:, letter]
        return turned(projected, turns[..., first : first + projected.shape[-2], :])

    def heads(
        self,
        q: Float[Tensor, "batch head seq d_head"],
        k: Float[Tensor, "batch head seq d_head"],
        v: Float[Tensor, "batch head seq d_head"],
        W_O: Float[Tensor, "head d_head d_model"],
        rules: BackwardRules = PLAIN,
    ) -> Float[Tensor, "head batch seq d_model"]:
        """What each head writes: all heads of a layer, or some with their own part of `W_O`."""
        return torch.einsum("bhtk,hkd->hbtd", self.mixed(q, k, v, rules), W_O)

    def mixed(
        self,
        q: Float[Tensor, "batch head query d_head"],
        k: Float[Tensor, "batch head seq d_head"],
        v: Float[Tensor, "batch head seq d_head"],
        rules: BackwardRules = PLAIN,
    ) -> Float[Tensor, "batch head query d_head"]:
        """The values that each head attends to, at the last positions: as many as have queries."""
        q, k, v = scaled(q, rules.queries), scaled(k, rules.keys), scaled(v, rules.values)
        return self.pattern(q, k, rules) @ v

    def pattern(
        self,
        q: Float[Tensor, "batch head query d_head"],
        k: Float[Tensor, "batch head seq d_head"],
        rules: BackwardRules = PLAIN,
    ) -> Float[Tensor, "batch head query seq"]:
        """How much each of the last positions attends to each one."""
        scores = q @ k.transpose(-1, -2) * self.config.d_head**-0.5
        if self.config.causal:
            seq = k.shape[-2]
            future = self.future[seq - q.shape[-2] : seq, :seq]
            scores = scores.masked_fill(future, float("-inf"))
        # Softmax is slow over short rows; with the keys first, the batch is the long axis.
        scores = scores.movedim(-1, 0).contiguous()
        pattern = scores.softmax(0)
        if rules.frozen_patterns:
            pattern = pattern.detach()
        elif rules.temperature != 1:
            pattern = tempered(pattern, scores, rules.temperature, 0)
        keys_last: Tensor = pattern.movedim(0, -1)
        return keys_last

    def mlp(
        self,
        inputs: Float[Tensor, "batch seq d_model"],
        layer: int,
        rules: BackwardRules = PLAIN,
    ) -> Float[Tensor, "batch seq d_model"]:
        """What a layer's MLP writes when it reads these inputs."""
        hidden = self.units(inputs, layer, rules)
        return hidden @ self.W_out[layer, : self.hidden[layer]] + self.b_out[layer]

    def units(
        self,
        inputs: Float[Tensor, "batch seq d_model"],
        layer: int,
        rules: BackwardRules = PLAIN,
    ) -> Float[Tensor, "batch seq unit"]:
        """The hidden units of a layer's MLP that are used, activated, and gated where they are."""
        inputs = self.norm(inputs, self.config.n_layers + layer, rules)
        used = self.hidden[layer]
        hidden = inputs @ self.W_in[layer, :, :used] + self.b_in[layer, :used]
        if self.config.gated:
            gate = inputs @ self.W_gate[layer, :, :used] + self.b_gate[layer, :used]
            return scaled(self._activate(gate, rules) * hidden, rules.gates)
        return self._activate(hidden, rules)

    def unembed(
        self, residual: Float[Tensor, "batch seq d_model"], rules: BackwardRules = PLAIN
    ) -> Float[Tensor, "batch seq d_vocab_out"]:
        """The logits of the final residual stream."""
        return self.norm(residual, -1, rules) @ self.W_U + self.b_U

    def norm(
        self, x: Float[Tensor, "*batch d_model"], which: int, rules: BackwardRules = PLAIN
    ) -> Float[Tensor, "*batch d_model"]:
        """The norm at this place of `config.norms`; without norms, the same."""
        c = self.config
        if c.norm == "none":
            return x
        weight = self.ln_w[which]
        if c.norm == "layer":
            normed = functional.layer_norm(x, (c.d_model,), weight, self.ln_b[which], c.norm_eps)
        else:
            normed = functional.rms_norm(x, (c.d_model,), weight, c.norm_eps)
        if rules.frozen_norms:
            return frozen(x, normed, weight, c.norm_eps, centred=c.norm == "layer")
        return normed

    def _activate(self, x: Tensor, rules: BackwardRules) -> Tensor:
        value = ACTIVATIONS[self.config.activation](x)
        return linear(x, value) if rules.linear_activations else value


def _added(residual: Tensor, delta: Tensor | None) -> Tensor:
    """What a single destination reads."""
    return residual if delta is None else residual + delta[:, 0]


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over the names and values of a model's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        # As bytes: numpy has no bfloat16.
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
