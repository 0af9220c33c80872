"""Ways out to TransformerLens and in from it.

Out: a native bridge that computes the same. In: the primitive `run` over any bridge whose attention
lets every head's q, k and v inputs be hooked on their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.checks.arguments import expect, takes
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.inference import make_ordinary, ordinary_tensors
from knowncircuits.models.interop.hooked import lens_config
from knowncircuits.models.interop.hooks import read_units
from knowncircuits.models.interop.lens_library import (
    HookPoint,
    NativeModel,
    TransformerBridge,
    TransformerBridgeConfig,
    build_bridge_from_module,
)
from knowncircuits.models.interop.rule_hooks import Hook, NamedHook, backward_rules
from knowncircuits.models.interop.splitting import (
    HeadsWrite,
    Read,
    all_reads,
    at_scale_of,
    bridge_graph,
    heads_write,
    input_hooks,
    matrix,
)
from knowncircuits.names import Node
from knowncircuits.primitive import Run, check_run
from knowncircuits.shown import Card, Shown
from knowncircuits.transformer import Transformer


@takes(model=Transformer)
def to_transformer_lens(model: Transformer) -> TransformerBridge:
    """Copy the model into a native TransformerLens bridge with equal logits and residual stream.

    Every kind of model has one. A native bridge has no hooks on the separate q, k and v inputs of a
    head, nor within a gated MLP; `to_hooked` has. RMSNorm and the angles of rotary positions are in
    float32 there, whatever the dtype. It is in evaluation mode.

    Its `enable_compatibility_mode()` centres the unembedding, which makes the output of a model
    with one output 0 on every input: call it with `no_processing=True`.
    """
    c = model.config
    # NativeModel draws weights that are then replaced.
    with torch.random.fork_rng(devices=[]), ordinary_tensors(), torch.device(model.device):
        native = NativeModel(lens_config(model))
        native.head = nn.Linear(c.d_model, c.d_vocab_out)  # theirs has no bias
        if c.gated:
            for block in native.layers:  # likewise
                block.mlp.gate = nn.Linear(c.d_model, c.d_mlp)
                setattr(block.mlp, "in", nn.Linear(c.d_model, c.d_mlp))
                block.mlp.out = nn.Linear(c.d_mlp, c.d_model)
    native.to(device=model.device, dtype=model.dtype).load_state_dict(_native_state_dict(model))
    with ordinary_tensors(), torch.device(model.device):
        bridge = build_bridge_from_module(
            native,
            "TransformerLensNative",
            tl_config=lens_config(model),
            model_name="knowncircuits",
        )
    return bridge.eval()


def _native_state_dict(model: Transformer) -> dict[str, Tensor]:
    """The weights under NativeModel's names: linear layers are [out, in], heads side by side."""
    c = model.config
    weights: dict[str, Tensor] = {
        "tok_embed.weight": model.W_E,
        "head.weight": model.W_U.T,
        "head.bias": model.b_U,
    }
    if c.positions == "learned":
        weights["pos.weight"] = model.W_pos
    mlp = {"fc_in": "in", "fc_out": "out"} if c.d_mlp else {}
    if c.gated:
        mlp = {name: name for name in ("gate", "in", "out")}
    for layer in range(c.n_layers):
        block = f"layers.{layer}."
        for i, letter in enumerate("qkv"):
            weights[f"{block}attn.{letter}.weight"] = model.W_QKV[layer, i].mT.flatten(0, 1)
            weights[f"{block}attn.{letter}.bias"] = model.b_QKV[layer, i].flatten()
        weights[f"{block}attn.o.weight"] = model.W_O[layer].flatten(0, 1).T
        weights[f"{block}attn.o.bias"] = model.b_O[layer]
        for theirs, ours in mlp.items():
            weights[f"{block}mlp.{theirs}.weight"] = getattr(model, f"W_{ours}")[layer].T
            weights[f"{block}mlp.{theirs}.bias"] = getattr(model, f"b_{ours}")[layer]
    for i, norm in enumerate(c.norms):
        name = norm.replace("blocks", "layers").replace("ln_final", "ln_out")
        weights[f"{name}.weight"] = model.ln_w[i]
        if c.norm == "layer":
            weights[f"{name}.bias"] = model.ln_b[i]
    return weights


class BridgedModel(Shown):
    """A TransformerLens bridge with the primitive `run` of `Transformer`.

    Works with any bridge whose residual stream is the plain sum of what the nodes write and whose
    queries, keys and values are linear in the normed stream: of GPT-2, GPT-NeoX, Llama, Gemma and
    others, see docs/models.md. Heads that share keys and values have one edge for each of these. In
    parallel blocks the MLP does not read the heads of its layer. Where a norm lies behind attention
    (Gemma 2), what a head writes is its part of the normed sum, at the scale of the run. Without
    learned positions (rotary, say) the graph's only input is `embed`.
    """

    def __init__(self, bridge: TransformerBridge) -> None:
        """Put the bridge in evaluation mode, and try it.

        Raises ModelError, naming the hook and what is wrong, for a bridge that lacks one, or whose
        inputs are not the sums of what the nodes before them wrote, or whose queries and the like
        are made in another way. For that it is tried in float32, in which sums are told from other
        things; room for such a copy of weights in bfloat16 or float16 is needed for so long.
        """
        expect(bridge, TransformerBridge, "bridge")
        self.bridge = bridge
        self.graph = bridge_graph(bridge)
        make_ordinary(bridge)
        bridge.eval()
        self._modules = tuple(bridge.modules())
        self._inputs = input_hooks(bridge, self.graph)
        self._reads = tuple(all_reads(bridge, self.graph))
        self._heads = tuple(heads_write(bridge, layer) for layer in range(self.graph.n_layers))
        self._try()

    def _card(self) -> Card:
        name = getattr(self.bridge.cfg, "model_name", "") or ""
        return Card(name, (self.graph.summary(),))

    def run(
        self,
        tokens: Int[Tensor, "batch seq"],
        alternative: Float[Tensor, "#batch source seq d_model"] | None = None,
        mask: Float[Tensor, "#batch edge"] | Float[Tensor, "#batch edge seq"] | None = None,
        rules: BackwardRules = PLAIN,
    ) -> Run:
        """Run the bridge with some edges reading another value of their source.

        Shapes, meaning and errors are those of `Transformer.run`; ModelError for a bridge that has
        been put in training mode, whose dropout would make every run another, and for rules about
        what no hook can reach.
        """
        if any(module.training for module in self._modules):
            raise ModelError(
                "expected a bridge in evaluation mode, got one in training mode; call bridge.eval()"
            )
        cfg, graph = self.bridge.cfg, self.graph
        check_run(graph, cfg.n_ctx, cfg.d_model, tokens, alternative, mask)
        written: dict[Node, Tensor] = {}
        patches: list[NamedHook] = []
        if alternative is not None and mask is not None:
            changes = _Changes(graph, alternative, mask, written)
            for read in self._reads:
                patches += changes.hooks(read)
        writes = self._write_hooks(written, frozen=rules.frozen_norms)
        with backward_rules(self.bridge, graph, rules) as ruled:
            # Rules are about what patched inputs give, and what is written is as ruled.
            logits = self.bridge.run_with_hooks(tokens, fwd_hooks=[*patches, *ruled, *writes])
        return Run(logits, [written[source] for source in graph.sources])

    def hidden_units(
        self, tokens: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch layer seq unit"]:
        """The hidden units of every MLP; ModelError for a bridge without `mlp.hook_post`."""
        return read_units(self.bridge, tokens, self.graph)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.bridge.parameters()).device
        return device

    @property
    def d_vocab(self) -> int:
        """How many tokens it knows."""
        return int(self.bridge.cfg.d_vocab)

    @property
    def unit_weights(self) -> Float[Tensor, "layer unit d_model"]:
        """What each hidden unit writes for a value of 1; ModelError where a norm lies behind."""
        if any("ln2_post" in block._modules for block in self.bridge.blocks):
            raise ModelError(
                "expected MLPs whose units write straight into the residual stream, got a norm "
                "behind them"
            )
        return torch.stack([matrix(block.mlp.out).detach() for block in self.bridge.blocks])

    def _write_hooks(self, written: dict[Node, Tensor], *, frozen: bool) -> list[NamedHook]:
        """Hooks that fill `written` with what every source writes."""

        def record(node: Node) -> Hook:
            def hook_fn(value: Tensor, hook: HookPoint) -> None:
                written[node] = value

            return hook_fn

        hooks: list[NamedHook] = [(at, record(Node(name))) for name, at in self._inputs.items()]
        for layer, heads in enumerate(self._heads):
            hooks += _head_hooks(heads, layer, written, self.bridge.cfg.eps, frozen=frozen)
            if self.graph.mlp:
                hooks.append((f"blocks.{layer}.hook_mlp_out", record(Node.of_mlp(layer))))
        return hooks

    def _try(self) -> None:
        """Check on a small input that every hook fires and that the model is split exactly."""
        cfg: TransformerBridgeConfig = self.bridge.cfg
        seen: dict[str, Tensor] = {}
        written: dict[Node, Tensor] = {}

        def see(name: str) -> Hook:
            def hook_fn(value: Tensor, hook: HookPoint) -> None:
                seen[name] = value

            return hook_fn

        reads = {name: see(name) for read in self._reads for name in (read.stream, read.made)}
        hooks = [*reads.items(), *self._write_hooks(written, frozen=False)]
        known = self.bridge.hook_dict
        lacking = dict.fromkeys(name for name, _ in hooks if name not in known)
        seq = min(3, cfg.n_ctx)
        tokens = torch.arange(2 * seq, device=cfg.device).reshape(2, seq) % cfg.d_vocab
        with torch.no_grad(), _at_least_float32(self.bridge):
            if not lacking:
                self.bridge.run_with_hooks(tokens, fwd_hooks=hooks)
                lacking = dict.fromkeys(name for name in reads if name not in seen)
                lacking |= {f"that of {n}": None for n in self.graph.sources if n not in written}
            if lacking:
                raise ModelError(f"expected hooks that this bridge lacks: {', '.join(lacking)}")
            _check_widths(written, cfg.d_model)
            outputs = [written[source] for source in self.graph.sources]
            for read in self._reads:
                _check_read(read, seen[read.stream], seen[read.made], outputs)


class _Changes:
    """What patched edges add to what their destinations read, as hooks of one run."""

    def __init__(
        self, graph: Graph, alternative: Tensor, mask: Tensor, written: dict[Node, Tensor]
    ) -> None:
        """`written` grows as the run goes on."""
        self._graph, self._alternative, self._written = graph, alternative, written
        self._mask = (mask if mask.ndim == 3 else mask[..., None]).to(alternative.dtype)
        self._streams: dict[str, Tensor] = {}
        self._last: tuple[list[int], Tensor] | None = None

    def hooks(self, read: Read) -> list[NamedHook]:
        """Hooks that patch the edges into some destinations; none where the mask is zero."""
        # [batch, destination, source, pos]
        reads = self._mask[:, torch.from_numpy(read.edges).to(self._mask.device)]
        which, places = (list(range(size)) for size in read.edges.shape)
        if not reads.requires_grad:  # of what is zero throughout nothing is read
            used = reads.movedim(0, -1).flatten(2).any(2)
            which, places = (used.any(dim).nonzero().flatten().tolist() for dim in (1, 0))
            if not places:
                return []
            if read.remake is not None:
                reads = reads[:, which]
            reads = reads[:, :, places]
        chosen = torch.tensor(which, device=reads.device)

        def see(value: Tensor, hook: HookPoint) -> None:
            self._streams[read.stream] = value

        def patch(value: Tensor, hook: HookPoint) -> Tensor:
            change = torch.einsum("bdsp,bspm->bpdm", reads, self._differences(places))
            stream = self._streams.get(read.stream, value)
            return read.patched(stream, value, change, chosen)

        if read.remake is None:
            return [(read.made, patch)]
        return [(read.stream, see), (read.made, patch)]

    def _differences(self, places: list[int]) -> Float[Tensor, "batch some seq d_model"]:
        """The alternative less what was written, of some sources: q, k and v ask for the same."""
        if self._last is None or self._last[0] != places:
            outputs = torch.stack([self._written[self._graph.sources[i]] for i in places], 1)
            every = places == list(range(self._alternative.shape[1]))
            other = self._alternative if every else self._alternative[:, places]
            self._last = places, other - outputs
        return self._last[1]


def _head_hooks(
    heads: HeadsWrite, layer: int, written: dict[Node, Tensor], eps: float, *, frozen: bool
) -> list[NamedHook]:
    """Hooks that fill `written` with what the heads of a layer write."""

    def record(parts: Iterable[Tensor]) -> None:
        written.update((Node.of_head(layer, head), part) for head, part in enumerate(parts))

    def see_z(z: Tensor, hook: HookPoint) -> None:
        record(heads.parts(z))

    def see_sum(whole: Tensor, hook: HookPoint) -> None:
        share = at_scale_of(heads.post_norm, eps, whole, frozen=frozen)
        n_heads = sum(node.kind == "head" and node.layer == layer for node in written)
        record([share(written[Node.of_head(layer, head)]) for head in range(n_heads)])

    hooks: list[NamedHook] = [(heads.z, see_z)]
    return hooks if heads.post_norm is None else [*hooks, (heads.post_norm_in, see_sum)]


def _check_widths(written: Mapping[Node, Tensor], d_model: int) -> None:
    """Raise ModelError for a node that writes something else than the residual stream's width."""
    for node, value in written.items():
        if value.shape[-1] != d_model:
            raise ModelError(
                f"expected {node} to write as much as the residual stream is wide, {d_model}, got "
                f"{value.shape[-1]}: there is a projection between"
            )


def _check_read(read: Read, stream: Tensor, made: Tensor, outputs: Sequence[Tensor]) -> None:
    """Raise ModelError unless the stream is a sum of outputs, and what is made of it as it says."""
    tolerance = 100 * max(torch.finfo(stream.dtype).eps, torch.finfo(torch.float32).eps)

    def differs(difference: Tensor, of: Tensor) -> float:
        error = float(difference.abs().max() / of.abs().max())
        return error if not error <= tolerance else 0.0

    rest = stream - sum(outputs[: read.edges.shape[1]])  # biases only
    if error := differs(rest - rest[:1, :1], stream):
        raise ModelError(
            f"expected {read.stream} to be the sum of what the nodes before it wrote and biases, "
            f"got a difference of {error:.1g} of its size: there is a norm, a scale or a node "
            "between a node and the residual stream that the graph does not know"
        )
    if read.remake is None:
        return
    every = torch.arange(len(read.edges), device=stream.device)
    inputs = stream[:, :, None].expand(-1, -1, len(every), -1)
    if error := differs(read.remake(inputs, every).reshape(made.shape) - made, made):
        raise ModelError(
            f"expected {read.made} to be {read.words}, got a difference of {error:.1g} of its size"
        )


@contextmanager
def _at_least_float32(module: nn.Module) -> Iterator[None]:
    """Cast weights of fewer bits to float32, and put back the very tensors that were there."""
    tensors = chain(module.parameters(), module.buffers())
    own = [(t, t.data) for t in tensors if t.is_floating_point() and t.dtype.itemsize < 4]
    try:
        for tensor, data in own:
            tensor.data = data.float()
        yield
    finally:
        for tensor, data in own:
            tensor.data = data
