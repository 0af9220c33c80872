"""Where the nodes of a TransformerLens bridge read and write, each split off from the others.

TransformerLens forks the residual stream for every head of some families and of others not. What
its bridges of all families have is less: what a projection makes of the stream (`hook_q`), what
goes into the output projection (`hook_z`), the norms, the weights. That is enough to split a model
exactly. A head reads another input where its query is made anew, `W_Q norm(stream + change)`, and
writes its part of the output projection, `z W_O`. Where a norm lies behind attention, a head's part
is what the norm makes of it at the scale that it has in this run, so that all parts still sum to
what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from knowncircuits.graph import Block, Graph
from knowncircuits.models.interop.lens_library import (
    AttentionBridge,
    Conv1D,
    NormalizationBridge,
    TransformerBridge,
)

Inputs = Float[Tensor, "batch pos destination d_model"]
# From what some destinations read, by their places, what is made of it.
Remake = Callable[[Inputs, Int[Tensor, " destination"]], Float[Tensor, "batch pos destination _"]]


@dataclass(frozen=True)
class Read:
    """How the destinations of one block of the graph read the residual stream."""

    edges: Int[np.ndarray, "destination source"]
    stream: str  # the hook that sees the stream as they read it
    made: str  # the hook that sees what is made of it: with a dimension of heads, or of one alone
    words: str = ""  # how it is made, for messages
    remake: Remake | None = None  # None where nothing is: `made` is the stream itself

    def patched(
        self,
        stream: Float[Tensor, "batch pos d_model"],
        made: Tensor,
        change: Inputs,
        which: Int[Tensor, " destination"],
    ) -> Tensor:
        """What is made where some destinations read the stream with a change of their own."""
        if self.remake is None:
            return made + change.squeeze(2)
        new = self.remake(stream[:, :, None] + change, which)
        if made.ndim == 3:
            return new.squeeze(2)
        return made.index_copy(2, which, new.to(made.dtype))


@dataclass(frozen=True)
class HeadsWrite:
    """How a layer's heads write: `z W_O`, and perhaps a norm of their sum."""

    z: str
    attention: AttentionBridge
    post_norm: NormalizationBridge | None
    post_norm_in: str  # the hook before it

    def parts(
        self, z: Float[Tensor, "batch pos head d_head"]
    ) -> Float[Tensor, "head batch pos d_model"]:
        """What each head adds to the sum, without the bias."""
        weight = matrix(self.attention.o).reshape(*z.shape[2:], -1)
        return torch.einsum("bphk,hkm->hbpm", z, weight)


def bridge_graph(bridge: TransformerBridge) -> Graph:
    """The residual-stream graph of a bridge. With no learned positions its one input is `embed`."""
    cfg = bridge.cfg
    # Rotary models also have a "hook_pos_embed", which stands for the rotation's own output.
    inputs = ("embed", "pos") if "pos_embed.hook_out" in bridge.hook_dict else ("embed",)
    parallel = bool(getattr(cfg, "parallel_attn_mlp", False))
    return Graph(
        cfg.n_layers, cfg.n_heads, not cfg.attn_only, inputs, cfg.n_key_value_heads, parallel
    )


def input_hooks(bridge: TransformerBridge, graph: Graph) -> dict[str, str]:
    """The hooks through which the graph's inputs are written."""
    # BLOOM has a norm behind the embedding.
    embed = "embed_ln.hook_out" if "embed_ln.hook_out" in bridge.hook_dict else "hook_embed"
    return {"embed": embed, "pos": "hook_pos_embed"} if len(graph.inputs) > 1 else {"embed": embed}


def all_reads(bridge: TransformerBridge, graph: Graph) -> Iterator[Read]:
    """How every block of the graph reads, in the graph's order."""
    for place in graph.blocks:
        node = place.destinations[0].node
        edges = np.arange(place.start, place.stop).reshape(-1, place.n_sources)
        if node.kind == "logits":
            hook = f"blocks.{graph.n_layers - 1}.hook_resid_post"
            yield Read(edges, hook, hook)
        elif node.kind == "mlp":
            yield _mlp_read(bridge, node.layer, edges, graph)
        else:
            yield _heads_read(bridge, place, edges)


def heads_write(bridge: TransformerBridge, layer: int) -> HeadsWrite:
    """How the heads of a layer write."""
    name, block = f"blocks.{layer}.", bridge.blocks[layer]
    post_norm = block._modules.get("ln1_post")
    return HeadsWrite(f"{name}attn.hook_z", block.attn, post_norm, f"{name}ln1_post.hook_in")


def matrix(linear: Any) -> Float[Tensor, "read write"]:
    """The weights of a bridged linear layer, to be multiplied from the right."""
    module = linear.original_component
    weight: Tensor = module.weight
    return weight if isinstance(module, Conv1D) else weight.T


def at_scale_of(
    norm: NormalizationBridge, eps: float, whole: Float[Tensor, "*rows d_model"], *, frozen: bool
) -> Callable[[Tensor], Tensor]:
    """What a norm does to parts of its input, at the scale of the whole; without its bias.

    Parts that sum to the whole then sum to what the norm makes of it. The scale may be a constant
    to gradients.
    """

    def centre(x: Tensor) -> Tensor:
        return x if norm.uses_rms_norm else x - x.mean(-1, keepdim=True)

    precise = torch.promote_types(whole.dtype, torch.float32)  # as the norms themselves are
    scale = (centre(whole.to(precise)).pow(2).mean(-1, keepdim=True) + eps).sqrt()
    scale = scale.detach() if frozen else scale
    weight = norm.weight + 1 if norm.uses_weight_offset else norm.weight
    return lambda part: (centre(part.to(precise)) / scale * weight).to(part.dtype)


def _heads_read(bridge: TransformerBridge, place: Block, edges: np.ndarray) -> Read:
    layer, letter = place.destinations[0].node.layer, place.destinations[0].letter
    block, name = bridge.blocks[layer], f"blocks.{layer}."
    linear, norm = getattr(block.attn, letter), _raw_norm(block, "ln1")
    n_heads = len(place.destinations)

    def remake(inputs: Inputs, heads: Int[Tensor, " destination"]) -> Tensor:
        weight = matrix(linear)
        weight = weight.reshape(len(weight), n_heads, -1)[:, heads]
        made = torch.einsum("bphm,mhk->bphk", norm(inputs).to(weight.dtype), weight)
        bias = linear.original_component.bias
        return made if bias is None else made + bias.reshape(n_heads, -1)[heads]

    words = f"W_{letter.upper()} times the normed residual stream"
    return Read(edges, f"{name}hook_in", f"{name}attn.hook_{letter}", words, remake)


def _mlp_read(bridge: TransformerBridge, layer: int, edges: np.ndarray, graph: Graph) -> Read:
    block, name = bridge.blocks[layer], f"blocks.{layer}."
    if "ln2" in block._modules:
        return Read(edges, f"{name}ln2.hook_in", f"{name}ln2.hook_in")
    if not graph.parallel:
        return Read(edges, f"{name}mlp.hook_in", f"{name}mlp.hook_in")
    norm = _raw_norm(block, "ln1")  # one norm for attention and MLP
    words = "the normed residual stream"
    return Read(edges, f"{name}hook_in", f"{name}mlp.hook_in", words, lambda x, _: norm(x))


def _raw_norm(block: nn.Module, name: str) -> Callable[[Tensor], Tensor]:
    """The model's own norm, whatever a bridge does around it; none where the block has none."""
    norm: Any = block._modules.get(name)
    return nn.Identity() if norm is None else cast(nn.Module, norm.original_component)
