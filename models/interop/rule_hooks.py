"""Backward rules through hooks alone, apart from those of the fast path that they check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from knowncircuits.backward import BackwardRules
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.models.interop.lens_library import (
    HookedRootModule,
    HookPoint,
    NormalizationBridge,
    TransformerBridge,
)

Hook = Callable[[Tensor, HookPoint], Tensor | None]
NamedHook = tuple[str, Hook]


@contextmanager
def backward_rules(
    hooked: HookedRootModule | TransformerBridge, graph: Graph, rules: BackwardRules
) -> Iterator[list[NamedHook]]:
    """Forward hooks for a run inside the block: they change gradients, and no value.

    Raises ModelError at its end, naming them, for hooks that did not fire.
    """
    fired: set[str] = set()

    def noted(name: str, hook_fn: Hook) -> NamedHook:
        def noting(value: Tensor, hook: HookPoint) -> Tensor | None:
            fired.add(name)
            return hook_fn(value, hook)

        return name, noting

    hooks = _rule_hooks(hooked, graph, rules)
    present = [noted(name, hook_fn) for name, hook_fn in hooks if name in hooked.hook_dict]
    with _frozen_norms(hooked, rules):
        yield present
    missing = dict.fromkeys(name for name, _ in hooks if name not in fired)
    if missing:
        raise ModelError(f"expected hooks for these rules that fire, but not: {', '.join(missing)}")


def _rule_hooks(
    hooked: HookedRootModule | TransformerBridge, graph: Graph, rules: BackwardRules
) -> list[NamedHook]:
    hooks: list[NamedHook] = []
    for layer in range(graph.n_layers):
        attention = f"blocks.{layer}.attn."
        for letter, share in zip("qkv", (rules.queries, rules.keys, rules.values), strict=True):
            if share != 1:
                hooks.append((f"{attention}hook_{letter}", _scale(share)))
        if rules.frozen_patterns:
            hooks.append((f"{attention}hook_pattern", _detach))
        elif rules.temperature != 1:
            hooks += _temper(attention, rules.temperature)
        if graph.mlp and (rules.linear_activations or rules.gates != 1):
            hooks += _multiply(f"blocks.{layer}.mlp.", rules, bool(hooked.cfg.gated_mlp))
        if layer == rules.dropped_layer:
            hooks.append((f"{attention}hook_result", _detach))
            if graph.mlp:
                hooks.append((f"blocks.{layer}.hook_mlp_out", _detach))
    if rules.frozen_norms and isinstance(hooked, HookedRootModule):
        scales = [name for name in hooked.hook_dict if name.endswith("hook_scale")]
        hooks += [(name, _detach) for name in scales]
    return hooks


@contextmanager
def _frozen_norms(hooked: nn.Module, rules: BackwardRules) -> Iterator[None]:
    """Freeze the scales of a bridge's norms inside the block, if the rules say so.

    A bridge whose heads have inputs of their own puts these through the model's own norm before
    attention, whose inside has no hooks.
    """
    handles = []
    if rules.frozen_norms and isinstance(hooked, TransformerBridge):
        for bridged in [m for m in hooked.modules() if isinstance(m, NormalizationBridge)]:
            hook = _freeze(bridged, hooked.cfg.eps)
            handles += [
                m.register_forward_hook(hook) for m in (bridged, bridged.original_component)
            ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _detach(value: Tensor, hook: HookPoint) -> Tensor:
    return value.detach()


def _see(seen: dict[str, Tensor], name: str) -> Callable[[Tensor, HookPoint], None]:
    def see(value: Tensor, hook: HookPoint) -> None:
        seen[name] = value

    return see


def _scale(share: float) -> Callable[[Tensor, HookPoint], Tensor]:
    return lambda value, hook: _with_gradient_of(share * value, value)


def _temper(attention: str, temperature: float) -> list[NamedHook]:
    """The pattern's gradient, by its formula, at scores that are so many times smaller."""
    seen: dict[str, Tensor] = {}

    def temper(pattern: Tensor, hook: HookPoint) -> Tensor:
        soft = (seen["scores"].detach() / temperature).softmax(-1)
        # Linear in the scores, with the Jacobian of a softmax that gives `soft`.
        scores = seen["scores"].where(soft > 0, 0.0)
        linear = soft * (scores - (soft * scores).sum(-1, keepdim=True))
        return _with_gradient_of(linear, pattern)

    see = _see(seen, "scores")
    return [(f"{attention}hook_attn_scores", see), (f"{attention}hook_pattern", temper)]


def _multiply(mlp: str, rules: BackwardRules, gated: bool) -> list[NamedHook]:
    """An MLP's units: the activation's gradient, and each factor's share of a product's."""
    seen: dict[str, Tensor] = {}

    def multiply(post: Tensor, hook: HookPoint) -> Tensor:
        if not rules.linear_activations:
            return _with_gradient_of(rules.gates * post, post) if gated else post
        # Units are homogeneous in each of their factors: post / factor is what multiplies it.
        parts = [x * torch.where(x == 0, 0.0, post / x).detach() for x in seen.values()]
        handed = torch.stack(parts).sum(0)
        return _with_gradient_of(rules.gates * handed if gated else handed, post)

    names = ["hook_pre", "hook_pre_linear"] if gated else ["hook_pre"]
    return [*((mlp + name, _see(seen, name)) for name in names), (f"{mlp}hook_post", multiply)]


def _freeze(norm: NormalizationBridge, eps: float) -> Callable[[nn.Module, tuple, Tensor], Tensor]:  # type: ignore[type-arg]
    def hook_fn(module: nn.Module, args: tuple[Tensor, ...], normed: Tensor) -> Tensor:
        x = args[0]
        x = x if norm.uses_rms_norm else x - x.mean(-1, keepdim=True)
        scale = (x.pow(2).mean(-1, keepdim=True) + eps).sqrt().detach()
        weight = norm.weight + 1 if norm.uses_weight_offset else norm.weight
        return _with_gradient_of(x / scale * weight, normed)

    return hook_fn


def _with_gradient_of(other: Tensor, value: Tensor) -> Tensor:
    """The value; adding zero to it keeps its bits."""
    return value.detach() + (other - other.detach())
