"""The primitive done by hooks alone: slow, plain, and apart from the fast path that it checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.models.interop.lens_library import HookedRootModule, HookPoint, TransformerBridge
from knowncircuits.models.interop.rule_hooks import backward_rules
from knowncircuits.names import Node
from knowncircuits.primitive import Run, check_run

Hook = Callable[[Tensor, HookPoint], Tensor | None]


def run_patched(
    hooked: HookedRootModule | TransformerBridge,
    tokens: Int[Tensor, "batch seq"],
    alternative: Float[Tensor, "#batch source seq d_model"] | None = None,
    mask: Float[Tensor, "#batch edge"] | Float[Tensor, "#batch edge seq"] | None = None,
    rules: BackwardRules = PLAIN,
    *,
    graph: Graph | None = None,
) -> Run:
    """Do what `Transformer.run` does by hooks alone: the reference implementation of the primitive.

    Args:
        hooked: a `HookedTwin`, or a bridge with its hooks switched on (see `BridgedModel`).
        tokens: ids.
        alternative: for each source, another value of what it writes; leading 1 is shared.
        mask: how far each edge reads the alternative, perhaps per position; leading 1 is shared.
        rules: how gradients are handed on.
        graph: names the sources and the mask's edges; the twin's own if not given.

    Returns:
        The logits and what each source wrote in this run.

    Raises:
        ShapeError: for shapes that do not fit, or a mask without an alternative.
        ModelError: for rules that need a hook which the model lacks.
    """
    graph = graph or hooked.graph
    check_run(graph, hooked.cfg.n_ctx, hooked.cfg.d_model, tokens, alternative, mask)
    written: dict[Node, Tensor] = {}

    def record(sources: tuple[Node, ...]) -> Hook:
        def hook_fn(value: Tensor, hook: HookPoint) -> None:
            written.update(zip(sources, split_heads(value), strict=True))

        return hook_fn

    def patch(edges: np.ndarray, alternative: Tensor, mask: Tensor) -> Hook | None:
        reads = mask[:, torch.from_numpy(edges).to(mask.device)]  # [batch, head, source, pos]
        places = list(range(edges.shape[1]))
        if not mask.requires_grad:  # of what is zero throughout nothing is read
            places = reads.movedim(2, 0).flatten(1).any(1).nonzero().flatten().tolist()
            reads = reads[:, :, places]
        if not places:
            return None

        def hook_fn(value: Tensor, hook: HookPoint) -> Tensor:
            outputs = torch.stack([written[graph.sources[place]] for place in places], 1)
            differences = alternative[:, places] - outputs
            change = torch.einsum("bhsp,bspm->bphm", reads, differences)
            return value + (change if value.ndim == 4 else change.squeeze(2))

        return hook_fn

    hooks = [(name, record(sources)) for name, sources in source_hooks(graph).items()]
    if alternative is not None and mask is not None:
        per_position = (mask if mask.ndim == 3 else mask[..., None]).to(alternative.dtype)
        for name, edges in destination_hooks(graph).items():
            if (hook_fn := patch(edges, alternative, per_position)) is not None:
                hooks.append((name, hook_fn))
    with backward_rules(hooked, graph, rules) as ruled:
        logits = hooked.run_with_hooks(tokens, fwd_hooks=[*ruled, *hooks])
    return Run(logits, [written[source] for source in graph.sources])


def read_units(
    hooked: HookedRootModule | TransformerBridge, tokens: Int[Tensor, "batch seq"], graph: Graph
) -> Float[Tensor, "batch layer seq unit"]:
    """The hidden units of every MLP, seen through `mlp.hook_post`.

    Raises ModelError, naming them, for hooks that the model lacks.
    """
    seen: dict[str, Tensor] = {}

    def see(name: str) -> Hook:
        def hook_fn(value: Tensor, hook: HookPoint) -> None:
            seen[name] = value

        return hook_fn

    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(graph.n_layers if graph.mlp else 0)]
    if not names:
        raise ModelError("expected a model with MLPs, got one without")
    hooked.run_with_hooks(tokens, fwd_hooks=[(name, see(name)) for name in names])
    if missing := [name for name in names if name not in seen]:
        raise ModelError(f"expected hooks that this model lacks: {', '.join(missing)}")
    return torch.stack([seen[name] for name in names], 1)


def split_heads(value: Float[Tensor, "batch seq *head d_model"]) -> tuple[Tensor, ...]:
    """One tensor [batch, seq, d_model] per head, or the tensor itself where there are no heads."""
    return value.unbind(2) if value.ndim == 4 else (value,)


def source_hooks(graph: Graph) -> Mapping[str, tuple[Node, ...]]:
    """The hooks through which the graph's sources write, and the source or heads of each."""
    hooks: dict[str, tuple[Node, ...]] = {}
    for node in graph.sources:
        if node.kind == "head":
            hook = f"blocks.{node.layer}.attn.hook_result"
        elif node.kind == "mlp":
            hook = f"blocks.{node.layer}.hook_mlp_out"
        else:
            hook = f"hook_{node}".replace("pos", "pos_embed")
        hooks[hook] = (*hooks.get(hook, ()), node)
    return hooks


@cache
def destination_hooks(graph: Graph) -> Mapping[str, Int[np.ndarray, "head source"]]:
    """The hooks through which the graph's destinations read, and the edges into each head there."""
    edges: dict[str, Int[np.ndarray, "head source"]] = {}
    for block in graph.blocks:
        first = block.destinations[0]
        if first.node.kind == "logits":
            hook = f"blocks.{graph.n_layers - 1}.hook_resid_post"
        elif first.node.kind == "mlp":
            hook = f"blocks.{first.node.layer}.hook_mlp_in"
        else:
            hook = f"blocks.{first.node.layer}.hook_{first.letter}_input"
        edges[hook] = np.arange(block.start, block.stop).reshape(-1, block.n_sources)
    return edges
