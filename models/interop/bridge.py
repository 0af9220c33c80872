"""Ways out to TransformerLens and in from it.

Out: a native bridge that computes the same. In: the primitive `run` over any bridge whose attention
lets every head's q, k and v inputs be hooked on their own.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from knowncircuits.models.interop.hooks import (
    Hook,
    destination_hooks,
    read_units,
    run_patched,
    source_hooks,
    split_heads,
)
from knowncircuits.models.interop.lens_library import (
    HookPoint,
    NativeModel,
    TransformerBridge,
    TransformerBridgeConfig,
    build_bridge_from_module,
)
from knowncircuits.primitive import Run
from knowncircuits.shown import Card, Shown
from knowncircuits.transformer import Transformer


@takes(model=Transformer)
def to_transformer_lens(model: Transformer) -> TransformerBridge:
    """Copy the model into a native TransformerLens bridge with equal logits and residual stream.

    Every kind of model has one. A native bridge has no hooks on the separate q, k and v inputs of a
    head, nor within a gated MLP; `to_hooked` has. RMSNorm and the angles of rotary positions are in
    float32 there, whatever the dtype.
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
        return build_bridge_from_module(
            native,
            "TransformerLensNative",
            tl_config=lens_config(model),
            model_name="knowncircuits",
        )


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

    Works with any bridge whose heads' q, k and v inputs and results and whose MLPs' inputs can be
    hooked, and whose residual stream is the plain sum of what the nodes write, such as GPT-2's.
    Without learned positions (rotary, say) the graph's only input is `embed`.
    """

    def __init__(self, bridge: TransformerBridge) -> None:
        """Switch on the hooks that are needed, put the bridge in evaluation mode, and try it.

        Raises ModelError, naming the flag or the hook, for a bridge that lacks one, or whose inputs
        are not the sums of what the nodes before them wrote. For that it is tried in float32, in
        which sums are told from other things; room for such a copy of weights in bfloat16 or
        float16 is needed for so long.
        """
        expect(bridge, TransformerBridge, "bridge")
        self.bridge = bridge
        cfg = bridge.cfg
        if cfg.n_key_value_heads not in (None, cfg.n_heads):
            raise ModelError(
                f"expected as many key and value heads as heads ({cfg.n_heads}), "
                f"got {cfg.n_key_value_heads}: one edge into each is not defined"
            )
        # Rotary models also have a "hook_pos_embed", which stands for the rotation's own output.
        inputs = ("embed", "pos") if "pos_embed.hook_out" in bridge.hook_dict else ("embed",)
        self.graph = Graph(cfg.n_layers, cfg.n_heads, not cfg.attn_only, inputs)
        make_ordinary(bridge)
        bridge.eval()
        self._modules = tuple(bridge.modules())
        for flag in ("use_split_qkv_input", "use_attn_result", "use_hook_mlp_in"):
            try:
                getattr(bridge, f"set_{flag}")(True)
            except (NotImplementedError, ValueError) as error:
                raise ModelError(f"expected a bridge that allows {flag}=True: {error}") from error
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
        been put in training mode, whose dropout would make every run another.
        """
        if any(module.training for module in self._modules):
            raise ModelError(
                "expected a bridge in evaluation mode, got one in training mode; call bridge.eval()"
            )
        return run_patched(self.bridge, tokens, alternative, mask, rules, graph=self.graph)

    def hidden_units(
        self, tokens: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch layer seq unit"]:
        """The hidden units of every MLP; ModelError for a bridge without `mlp.hook_post`."""
        return read_units(self.bridge, tokens, self.graph)

    @property
    def unit_weights(self) -> Float[Tensor, "layer unit d_model"]:
        """What each hidden unit writes for a value of 1."""
        return torch.stack([block.mlp.W_out.detach() for block in self.bridge.blocks])

    def _try(self) -> None:
        """Check on a small input that every hook fires and that every input is a sum of outputs."""
        cfg: TransformerBridgeConfig = self.bridge.cfg
        sources, destinations = source_hooks(self.graph), destination_hooks(self.graph)
        seen: dict[str, Tensor] = {}

        def see(name: str) -> Hook:
            def hook_fn(value: Tensor, hook: HookPoint) -> None:
                seen[name] = value

            return hook_fn

        names = [name for name in (*sources, *destinations) if name in self.bridge.hook_dict]
        hooks = [(name, see(name)) for name in names]
        seq = min(3, cfg.n_ctx)
        tokens = torch.arange(2 * seq, device=cfg.device).reshape(2, seq) % cfg.d_vocab
        with torch.no_grad(), _at_least_float32(self.bridge):
            self.bridge.run_with_hooks(tokens, fwd_hooks=hooks)
        missing = [name for name in (*sources, *destinations) if name not in seen]
        if missing:
            raise ModelError(f"expected hooks that this bridge lacks: {', '.join(missing)}")
        written = [part for name in sources for part in split_heads(seen[name])]
        for name, edges in destinations.items():
            total = sum(written[: edges.shape[1]])
            for value in split_heads(seen[name]):
                rest = value - total  # biases only
                error = (rest - rest[:1, :1]).abs().max() / value.abs().max()
                if error > 100 * torch.finfo(value.dtype).eps:
                    raise ModelError(
                        f"expected {name} to be the sum of what the nodes before it wrote and "
                        f"biases, got a difference of {error:.1g} of its size: a parallel MLP, "
                        "or a norm or scale between a node and the residual stream"
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
