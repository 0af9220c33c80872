"""Backward rules through hooks alone, apart from those of the fast path that they check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from knowncircuits.backward import BackwardRules
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.models.interop.lens_library import (
    AttentionBridge,
    HookedRootModule,
    HookPoint,
    NormalizationBridge,
    TransformerBridge,
)
from knowncircuits.models.interop.splitting import at_scale_of

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

    norms = _bridged_norms(hooked) if rules.frozen_norms else {}
    hooks = [*_rule_hooks(hooked, graph, rules), *((at, norm.see) for at, norm in norms.items())]
    present = [noted(name, hook_fn) for name, hook_fn in hooks if name in hooked.hook_dict]
    with _frozen(norms.values()):
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
        if rules.frozen_patterns or rules.temperature != 1:
            _check_patterns(hooked, layer)
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
            bridged = isinstance(hooked, TransformerBridge)  # their results are a sum's parts
            hooks.append((attention + ("hook_z" if bridged else "hook_result"), _detach))
            if graph.mlp:
                hooks.append((f"blocks.{layer}.hook_mlp_out", _detach))
    if rules.frozen_norms and isinstance(hooked, HookedRootModule):
        scales = [name for name in hooked.hook_dict if name.endswith("hook_scale")]
        hooks += [(name, _detach) for name in scales]
    return hooks


def _check_patterns(hooked: HookedRootModule | TransformerBridge, layer: int) -> None:
    """Raise ModelError for patterns that hooks see, but do not change."""
    bridged = isinstance(hooked, TransformerBridge)
    if bridged and type(hooked.blocks[layer].attn) is AttentionBridge:
        raise ModelError(
            f"expected attention whose pattern hooks can change, which rules about patterns need, "
            f"got blocks.{layer}.attn, which leaves it to the model's own code"
        )


@contextmanager
def _frozen(norms: Iterable[_FrozenNorm]) -> Iterator[None]:
    """Freeze the scales of a bridge's norms inside the block."""
    handles = [handle for norm in norms for handle in norm.register()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bridged_norms(hooked: HookedRootModule | TransformerBridge) -> dict[str, _FrozenNorm]:
    """The norms of a bridge, by the names of the hooks before them."""
    if not isinstance(hooked, TransformerBridge):
        return {}
    names = {id(point): name for name, point in hooked.hook_dict.items()}
    norms = [norm for norm in hooked.modules() if isinstance(norm, NormalizationBridge)]
    return {names[id(norm.hook_in)]: _FrozenNorm(norm, hooked.cfg.eps) for norm in norms}


class _FrozenNorm:
    """A norm of a bridge, whose inside has no hooks, with a scale that is constant to gradients.

    Heads that read an input of their own put it through the model's own norm, behind the bridge's.
    """

    def __init__(self, norm: NormalizationBridge, eps: float) -> None:
        self.norm, self.eps = norm, eps
        self._input: Tensor | None = None

    def see(self, value: Tensor, hook: HookPoint) -> None:
        """A hook before the norm: patches there come in later than the bridge's arguments."""
        self._input = value

    def register(self) -> list[RemovableHandle]:
        """Hooks behind the norm, of the bridge and of the model."""
        return [
            self.norm.register_forward_hook(self._freeze_bridge),
            self.norm.original_component.register_forward_hook(self._freeze_own),
        ]

    def _freeze_bridge(self, module: nn.Module, args: tuple[Tensor, ...], normed: Tensor) -> Tensor:
        x = args[0] if self._input is None else self._input.reshape(normed.shape)
        return self._freeze(x, normed)

    def _freeze_own(self, module: nn.Module, args: tuple[Tensor, ...], normed: Tensor) -> Tensor:
        return self._freeze(args[0], normed)

    def _freeze(self, x: Tensor, normed: Tensor) -> Tensor:
        return _with_gradient_of(at_scale_of(self.norm, self.eps, x, frozen=True)(x), normed)


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


def _with_gradient_of(other: Tensor, value: Tensor) -> Tensor:
    """The value; adding zero to it keeps its bits."""
    return value.detach() + (other - other.detach())
