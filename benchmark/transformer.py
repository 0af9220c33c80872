"""A plain transformer whose every edge can be patched: the one primitive of the project.

Compiled and trained models are both of this class. The input of a destination d is the sum of what
the sources before it wrote, each replaced by an alternative as far as the mask says:
`sum_s out_s + sum_s mask[s->d] * (alternative_s - out_s)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from knowncircuits.checks.arguments import expect
from knowncircuits.errors import ModelError, ShapeError
from knowncircuits.graph import Graph
from knowncircuits.inference import ordinary_tensors

Activation = Literal["relu", "gelu", "gelu_new"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
}


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and choices of a transformer; the names are TransformerLens's."""

    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int  # 0: attention only
    n_ctx: int
    d_vocab: int
    d_vocab_out: int
    causal: bool = True
    activation: Activation = "gelu"
    layer_norm: bool = False  # pre-LN, with a final one before the unembedding
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("n_layers", "n_heads", "d_model", "d_head", "n_ctx", "d_vocab", "d_vocab_out"):
            if getattr(self, name) < 1:
                raise ModelError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if self.d_mlp < 0:
            raise ModelError(f"expected d_mlp of at least 0, got {self.d_mlp}")
        if self.activation not in ACTIVATIONS:
            raise ModelError(
                f"expected activation {', '.join(ACTIVATIONS)}, got {self.activation!r}"
            )

    @property
    def graph(self) -> Graph:
        """The edges that can be patched."""
        return Graph(self.n_layers, self.n_heads, mlp=self.d_mlp > 0)

    @property
    def norms(self) -> tuple[str, ...]:
        """TransformerLens's names of the norms in the order of `ln_w`; empty without norms.

        Those before attention, those before the MLPs, and the final one.
        """
        if not self.layer_norm:
            return ()
        kinds = ("ln1", "ln2") if self.d_mlp else ("ln1",)
        names = [f"blocks.{layer}.{kind}" for kind in kinds for layer in range(self.n_layers)]
        return (*names, "ln_final")


class Run:
    """What a forward pass gives; unpacks to `logits, outputs`."""

    def __init__(
        self, logits: Float[Tensor, "batch seq d_vocab_out"], written: Sequence[Tensor]
    ) -> None:
        """`written`: each source's output [batch, seq, d_model], in the graph's order."""
        self.logits = logits
        self._written = written

    @cached_property
    def outputs(self) -> Float[Tensor, "batch source seq d_model"]:
        """What each node wrote. Put together when asked for: many callers only want logits."""
        with ordinary_tensors():  # it is kept
            return torch.stack(list(self._written), 1)

    def __iter__(self) -> Iterator[Tensor]:
        yield self.logits
        yield self.outputs


@runtime_checkable
class Patchable(Protocol):
    """Any model that offers the primitive: ours, or TransformerLens's through an adapter."""

    @property
    def graph(self) -> Graph:
        """The edges that can be patched."""

    def run(
        self,
        tokens: Int[Tensor, "batch seq"],
        alternative: Float[Tensor, "#batch source seq d_model"] | None = None,
        mask: Float[Tensor, "#batch edge"] | Float[Tensor, "#batch edge seq"] | None = None,
    ) -> Run:
        """See `Transformer.run`."""


class Transformer(nn.Module):
    """A decoder or encoder with learned positions, pre-LN or no norm, and the primitive `run`.

    Weights are stacked over layers, and over q, k and v: `W_QKV[layer, 0]` is what TransformerLens
    calls `blocks[layer].attn.W_Q`.
    """

    future: Tensor  # [n_ctx, n_ctx]: the keys that causal attention hides

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
        self.W_U = parameter(D, c.d_vocab_out)
        self.b_U = parameter(c.d_vocab_out)
        if c.layer_norm:
            self.ln_w = parameter(len(c.norms), D, fill=1.0)
            self.ln_b = parameter(len(c.norms), D)
        future = torch.ones(c.n_ctx, c.n_ctx, dtype=torch.bool, device=device).triu(1)
        self.register_buffer("future", future, persistent=False)

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
    ) -> Run:
        """Run the model with some edges reading another value of their source.

        Args:
            tokens: ids, BOS first.
            alternative: for each source, another value of what it writes, such as its `outputs` on
                another input. A leading dimension of 1 is shared by the whole batch.
            mask: how far, from 0 to 1, each edge of `graph` reads the alternative; per position
                with a third axis. A leading dimension of 1 is shared. Gradients flow through it.

        Returns:
            The logits and what each source wrote *in this run*, `outputs`.

        Raises:
            ShapeError: for shapes that do not fit, or a mask without an alternative.
        """
        c = self.config
        check_run(self.graph, c.n_ctx, c.d_model, tokens, alternative, mask)
        batch, seq = tokens.shape
        embedded = self.W_E[tokens]
        positions = self.W_pos[:seq].expand(batch, seq, c.d_model)
        written = [embedded, positions]
        residual = embedded + positions
        patch = _Patch(alternative, mask, written)
        blocks = iter(self.graph.blocks)
        for layer in range(c.n_layers):
            query, _, value = next(blocks), next(blocks), next(blocks)
            delta = patch.delta(query.start, value.stop, query.n_sources)
            q, k, v = self.qkv(residual, delta, layer)
            heads = self.heads(q, k, v, self.W_O[layer])
            written += heads.unbind()
            residual = residual + heads.sum(0) + self.b_O[layer]
            if c.d_mlp:
                block = next(blocks)
                delta = patch.delta(block.start, block.stop, block.n_sources)
                inputs = residual if delta is None else residual + delta[:, 0]
                written.append(self.mlp(inputs, layer))
                residual = residual + written[-1]
        block = next(blocks)
        delta = patch.delta(block.start, block.stop, block.n_sources)
        residual = residual if delta is None else residual + delta[:, 0]
        return Run(self.unembed(residual), written)

    # What `run` is made of, for those who compute only a part of it.

    def qkv(
        self,
        residual: Float[Tensor, "batch seq d_model"],
        delta: Float[Tensor, "#batch destination seq d_model"] | None,
        layer: int,
    ) -> Float[Tensor, "3 batch head seq d_head"]:
        """Queries, keys and values of the residual stream, to which each input adds its delta.

        Unpatched, all heads read one input, which one matrix product serves.
        """
        W, b = self.W_QKV[layer], self.b_QKV[layer][:, None, :, None]
        if delta is None:
            return torch.einsum("btd,ghdk->gbhtk", self.norm(residual, layer), W) + b
        batch, _, seq, d_model = delta.shape
        per_head = delta.reshape(batch, 3, self.config.n_heads, seq, d_model)
        inputs = residual[:, None, None] + per_head
        return torch.einsum("bghtd,ghdk->gbhtk", self.norm(inputs, layer), W) + b

    def heads(
        self,
        q: Float[Tensor, "batch head seq d_head"],
        k: Float[Tensor, "batch head seq d_head"],
        v: Float[Tensor, "batch head seq d_head"],
        W_O: Float[Tensor, "head d_head d_model"],
    ) -> Float[Tensor, "head batch seq d_model"]:
        """What each head writes: all heads of a layer, or some with their own part of `W_O`."""
        scores = q @ k.transpose(-1, -2) * self.config.d_head**-0.5
        if self.config.causal:
            seq = q.shape[-2]
            scores = scores.masked_fill(self.future[:seq, :seq], float("-inf"))
        # Softmax is slow over short rows; with the keys first, the batch is the long axis.
        pattern = scores.movedim(-1, 0).contiguous().softmax(0).movedim(0, -1)
        return torch.einsum("bhtk,hkd->hbtd", pattern @ v, W_O)

    def mlp(
        self, inputs: Float[Tensor, "batch seq d_model"], layer: int
    ) -> Float[Tensor, "batch seq d_model"]:
        """What a layer's MLP writes when it reads these inputs."""
        inputs = self.norm(inputs, self.config.n_layers + layer)
        activation, used = ACTIVATIONS[self.config.activation], self.hidden[layer]
        hidden = activation(inputs @ self.W_in[layer, :, :used] + self.b_in[layer, :used])
        return hidden @ self.W_out[layer, :used] + self.b_out[layer]

    def unembed(
        self, residual: Float[Tensor, "batch seq d_model"]
    ) -> Float[Tensor, "batch seq d_vocab_out"]:
        """The logits of the final residual stream."""
        return self.norm(residual, -1) @ self.W_U + self.b_U

    def norm(
        self, x: Float[Tensor, "*batch d_model"], which: int
    ) -> Float[Tensor, "*batch d_model"]:
        """The norm at this place of `config.norms`; without norms, the same."""
        c = self.config
        if not c.layer_norm:
            return x
        weight, bias = self.ln_w[which], self.ln_b[which]
        return functional.layer_norm(x, (c.d_model,), weight, bias, c.layer_norm_eps)


def check_run(
    graph: Graph,
    n_ctx: int,
    d_model: int,
    tokens: Tensor,
    alternative: Tensor | None,
    mask: Tensor | None,
) -> None:
    """Raise ShapeError, with expected and got, for arguments that do not fit the primitive."""
    if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= n_ctx or not tokens.shape[0]:
        raise ShapeError(
            f"expected tokens of shape [batch, 1 to {n_ctx}], got {list(tokens.shape)}"
        )
    if (mask is None) != (alternative is None):
        raise ShapeError("expected a mask and an alternative together, got only one of them")
    if mask is None or alternative is None:
        return
    batch, seq = tokens.shape
    wanted = [len(graph.sources), seq, d_model]
    if list(alternative.shape) not in ([batch, *wanted], [1, *wanted]):
        raise ShapeError(
            f"expected alternative of shape {[batch, *wanted]}, got {list(alternative.shape)}"
        )
    edges = ([graph.n_edges], [graph.n_edges, seq])
    if list(mask.shape) not in [[n, *shape] for n in (batch, 1) for shape in edges]:
        raise ShapeError(
            f"expected mask of shape {[batch, graph.n_edges]} (and seq), got {list(mask.shape)}"
        )


class _Patch:
    """What the mask lets through of the difference between each source's alternative and output."""

    def __init__(
        self, alternative: Tensor | None, mask: Tensor | None, written: list[Tensor]
    ) -> None:
        """`written` grows as the run goes on."""
        # Taken apart at once: gradients of slices taken one by one each fill the whole tensor.
        self.alternative = None if alternative is None else alternative.unbind(1)
        self.mask = mask
        self.written = written
        self.differences: dict[int, Tensor] = {}
        # Without gradients they share one tensor, of which dense masks take a slice without a copy.
        self.shared: Tensor | None = None
        if alternative is not None and not torch.is_grad_enabled():
            self.shared = alternative.new_empty(len(written[0]), *alternative.shape[1:])

    def delta(self, start: int, stop: int, n_sources: int) -> Tensor | None:
        """What edges start to stop add to their destinations: [batch, destination, seq, d_model].

        None where the mask is zero throughout, which masks of few edges are in most layers; sources
        of which it takes nothing are left out.
        """
        if self.mask is None or self.alternative is None:
            return None
        mask = self.mask[:, start:stop]
        mask = mask.reshape(len(mask), -1, n_sources, *mask.shape[2:])
        sources = list(range(n_sources))
        if not mask.requires_grad:
            used = mask.movedim(2, 0).flatten(1).any(1)
            sources = used.nonzero().flatten().tolist()
            if not sources:
                return None
            mask = mask[:, :, sources]
        for i in sources:
            if i not in self.differences:
                out = None if self.shared is None else self.shared[:, i]
                self.differences[i] = torch.sub(self.alternative[i], self.written[i], out=out)
        if self.shared is not None and len(sources) == n_sources:
            differences = self.shared[:, :n_sources]
        else:
            differences = torch.stack([self.differences[i] for i in sources], 1)
        mask = mask.to(differences.dtype)
        if mask.ndim == 3:
            return torch.einsum("bds,bspm->bdpm", mask, differences)
        return torch.einsum("bdsp,bspm->bdpm", mask, differences)


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over the names and values of a model's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        # As bytes: numpy has no bfloat16.
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
