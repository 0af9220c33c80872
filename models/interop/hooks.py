"""The primitive done by hooks alone: slow, plain, and apart from the fast path that it checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from knowncircuits.graph import Graph, destination_node, split_edge
from knowncircuits.transformer import Run, check_run

Hook = Callable[[Tensor, HookPoint], Tensor | None]


def run_patched(
    hooked: HookedRootModule | TransformerBridge,
    tokens: Int[Tensor, "batch seq"],
    alternative: Float[Tensor, "#batch source seq d_model"] | None = None,
    mask: Float[Tensor, "#batch edge"] | Float[Tensor, "#batch edge seq"] | None = None,
    *,
    graph: Graph | None = None,
) -> Run:
    """Do what `Transformer.run` does by hooks alone: the reference implementation of the primitive.

    Args:
        hooked: a `HookedTwin`, or a bridge with its hooks switched on (see `BridgedModel`).
        tokens: ids.
        alternative: for each source, another value of what it writes; leading 1 is shared.
        mask: how far each edge reads the alternative, perhaps per position; leading 1 is shared.
        graph: names the sources and the mask's edges; the twin's own if not given.

    Returns:
        The logits and what each source wrote in this run.

    Raises:
        ShapeError: for shapes that do not fit, or a mask without an alternative.
    """
    graph = graph or hooked.graph
    check_run(graph, hooked.cfg.n_ctx, hooked.cfg.d_model, tokens, alternative, mask)
    written: dict[str, Tensor] = {}

    def record(sources: tuple[str, ...]) -> Hook:
        def hook_fn(value: Tensor, hook: HookPoint) -> None:
            written.update(zip(sources, split_heads(value), strict=True))

        return hook_fn

    def patch(edges: np.ndarray, alternative: Tensor, mask: Tensor) -> Hook:
        reads = mask[:, torch.from_numpy(edges).to(mask.device)]

        def hook_fn(value: Tensor, hook: HookPoint) -> Tensor:
            sources = graph.sources[: edges.shape[1]]
            outputs = torch.stack([written[source] for source in sources], 1)
            differences = alternative[:, : len(sources)] - outputs
            change = torch.einsum("bhsp,bspm->bphm", reads, differences)
            return value + (change if value.ndim == 4 else change.squeeze(2))

        return hook_fn

    hooks = [(name, record(sources)) for name, sources in source_hooks(graph).items()]
    if alternative is not None and mask is not None:
        per_position = (mask if mask.ndim == 3 else mask[..., None]).to(alternative.dtype)
        for name, edges in destination_hooks(graph).items():
            hooks.append((name, patch(edges, alternative, per_position)))
    logits = hooked.run_with_hooks(tokens, fwd_hooks=hooks)
    return Run(logits, [written[source] for source in graph.sources])


def split_heads(value: Float[Tensor, "batch seq *head d_model"]) -> tuple[Tensor, ...]:
    """One tensor [batch, seq, d_model] per head, or the tensor itself where there are no heads."""
    return value.unbind(2) if value.ndim == 4 else (value,)


def source_hooks(graph: Graph) -> Mapping[str, tuple[str, ...]]:
    """The hooks through which the graph's sources write, and the source or heads of each."""
    hooks: dict[str, tuple[str, ...]] = {
        f"hook_{name}".replace("pos", "pos_embed"): (name,) for name in graph.inputs
    }
    for layer in range(graph.n_layers):
        heads = tuple(f"a{layer}.h{head}" for head in range(graph.n_heads))
        hooks[f"blocks.{layer}.attn.hook_result"] = heads
        if graph.mlp:
            hooks[f"blocks.{layer}.hook_mlp_out"] = (f"m{layer}",)
    return hooks


@cache
def destination_hooks(graph: Graph) -> Mapping[str, Int[np.ndarray, "head source"]]:
    """The hooks through which the graph's destinations read, and the edges into each head there."""
    edges: dict[str, dict[str, list[int]]] = {}
    for i, edge in enumerate(graph.edges):
        _, destination = split_edge(edge)
        node = destination_node(destination)
        layer = node[1:].partition(".")[0]
        if node == "logits":
            hook = f"blocks.{graph.n_layers - 1}.hook_resid_post"
        elif node.startswith("m"):
            hook = f"blocks.{layer}.hook_mlp_in"
        else:
            hook = f"blocks.{layer}.hook_{destination[-2]}_input"
        edges.setdefault(hook, {}).setdefault(destination, []).append(i)
    return {hook: np.array(list(heads.values())) for hook, heads in edges.items()}
