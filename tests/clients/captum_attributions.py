"""captum's attributions of a trained model's layers, beside our scores of its components."""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import InternalInfluence, LayerFeatureAblation, LayerIntegratedGradients
from torch import Tensor

import knowncircuits as kc
from knowncircuits.evaluation.choices import Level
from knowncircuits.evaluation.components import ComponentScores
from knowncircuits.models.interop.hooks import source_hooks

CASE, N_PAIRS, STEPS = "histogram", 20, 5

trained = kc.load_model(CASE).to(dtype=torch.float64)
task = kc.make_task(trained, n_pairs=N_PAIRS, metric="logit_diff")
model = kc.to_hooked(trained)
clean, corrupted = (model.run_with_cache(ids)[1] for ids in (task.clean, task.corrupted))
of_pairs = {"additional_forward_args": torch.arange(N_PAIRS)}
rule = {"n_steps": STEPS, "method": "gausslegendre"}


def lost(tokens: Tensor, pairs: Tensor) -> Tensor:
    """The metric of each pair: what captum attributes."""
    return task.measure(model(tokens), pairs)


def lost_behind(embeddings: Tensor, pairs: Tensor) -> Tensor:
    """The same, of the first residual stream."""
    return task.measure(model(embeddings, start_at_layer=0), pairs)


def integrated(hook: str) -> Tensor:
    """Integrated gradients of what a hook passes, from its corrupted to its clean value."""
    layer = LayerIntegratedGradients(lost, model.mod_dict[hook])
    found: Tensor = -layer.attribute(task.clean, task.corrupted, **of_pairs, **rule)
    return found


def influence(hook: str) -> Tensor:
    """The mean gradient in what a hook passes while the embeddings move, times how far it moves."""
    ends = (cache["blocks.0.hook_resid_pre"] for cache in (corrupted, clean))
    layer = InternalInfluence(lost_behind, model.mod_dict[hook])
    found: Tensor = layer.attribute(*ends, **of_pairs, **rule) * (corrupted[hook] - clean[hook])
    return found


def ablated(hook: str) -> Tensor:
    """The effect of each head that a hook passes, or of all of it, on the first number there."""
    groups = torch.zeros_like(clean[hook][:1], dtype=torch.long)
    if groups.ndim == 4:
        groups += torch.arange(groups.shape[2])[:, None]
    layer = LayerFeatureAblation(lost, model.mod_dict[hook])
    found: Tensor = -layer.attribute(task.clean, corrupted[hook], layer_mask=groups, **of_pairs)
    return found[:, :1, ..., :1]


def of_components(values: Tensor, level: Level) -> Tensor:
    """Attributions [pair, pos, ...] as those of components: [pair, component]."""
    summed = values.sum(1) if level == "neuron" else values.sum((1, -1))
    return summed.reshape(N_PAIRS, -1)


def distance(theirs: list[Tensor], ours: ComponentScores) -> float:
    """The largest difference over the largest score."""
    got = torch.cat([of_components(values, ours.level) for values in theirs], 1).detach().numpy()
    return float(np.abs(got - ours.by_pair).max() / np.abs(ours.by_pair).max())


# What `pos` writes is the same on both inputs of a pair, and captum takes gradients of no constant.
nodes = [hook for hook in source_hooks(task.graph) if hook != "hook_pos_embed"]
nothing = torch.zeros(N_PAIRS, 1, 1)
neurons = [f"blocks.{layer}.mlp.hook_post" for layer in range(task.graph.n_layers)]
gauss = {"steps": STEPS, "rule": "gauss"}
first, behind = nodes[0], nodes[1:]
distances = {
    "layer integrated gradients of nodes": distance(
        [integrated(first), nothing, *map(integrated, behind)],
        kc.component_gradients(task, "node", along="layer", **gauss),
    ),
    "and of neurons": distance(
        [integrated(hook) for hook in neurons],
        kc.component_gradients(task, "neuron", along="layer", **gauss),
    ),
    "internal influence of heads": distance(
        [influence(hook) for hook in behind if "attn" in hook],
        kc.component_gradients(task, "head", along="inputs", **gauss),
    ),
    "layer feature ablation of nodes": distance(
        [ablated(first), nothing, *map(ablated, behind)], kc.component_effects(task, "node")
    ),
}
assert max(distances.values()) < 1e-6, distances
worst = max(distances.values())
print(f"{CASE}: {', '.join(distances)}, equal to {worst:.0e} of the largest")
