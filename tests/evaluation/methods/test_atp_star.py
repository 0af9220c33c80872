"""AtP* against the paper's formulas, edge by edge through hooks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.choices import Norm
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.task import Task
from knowncircuits.models.interop.hooked import HookedTwin, to_hooked
from knowncircuits.transformer import Transformer
from strategies import random_task


def gradients(hooked: HookedTwin, task: Task, tokens: Tensor, dropped: int) -> dict[str, Tensor]:
    """At every destination's input and every pattern, with a layer's writing detached."""
    found: dict[str, Tensor] = {}

    def keep(gradient: Tensor, hook: Any) -> None:
        found[hook.name] = gradient.detach().clone()

    parts = ["hook_q_input", "hook_k_input", "hook_v_input", "attn.hook_pattern", "hook_mlp_in"]
    names = [f"blocks.{layer}.{part}" for layer in range(hooked.cfg.n_layers) for part in parts]
    last = f"blocks.{hooked.cfg.n_layers - 1}.hook_resid_post"
    drop = [f"blocks.{dropped}.{part}" for part in ("hook_attn_out", "hook_mlp_out")]
    with hooked.hooks(
        fwd_hooks=[(name, lambda value, hook: value.detach()) for name in drop],
        bwd_hooks=[(name, keep) for name in [*names, last]],
    ):
        task.measure(hooked(tokens), torch.arange(task.n_pairs)).sum().backward()
    found["logits"] = found[last]
    return found


def pattern_under(hooked: HookedTwin, tokens: Tensor, hook: str, head: int, change: Tensor) -> Any:
    """A layer's patterns with one head's queries or keys patched, and without."""
    name = hook.rpartition(".")[0] + ".attn.hook_pattern"

    def patch(value: Tensor, hook: Any) -> Tensor:
        value = value.clone()
        value[:, :, head] += change
        return value

    with torch.no_grad():
        before = hooked.run_with_cache(tokens)[1][name]
        with hooked.hooks(fwd_hooks=[(hook, patch)]):
            after = hooked.run_with_cache(tokens)[1][name]
    return after[:, head] - before[:, head]


@pytest.mark.parametrize(
    ("metric", "norm"), [("logit_diff", "none"), ("kl", "layer"), ("kl", "rms")]
)
def test_scores_are_the_papers_formulas(metric: str, norm: Norm) -> None:
    task = random_task(metric, n_pairs=3, norm=norm)
    assert isinstance(task.model, Transformer)
    hooked = to_hooked(task.model).requires_grad_(True)
    tokens, change = task.clean, task.differences
    if metric == "kl":
        tokens, change = task.corrupted, -change
    found = [gradients(hooked, task, tokens, layer) for layer in (0, 1)]
    wanted = []
    for edge in task.graph.edges:
        source, _, destination = edge.partition("->")
        moved = change[:, task.graph.sources.index(source)]
        sizes = []
        for dropped in (0, 1):
            own = None if destination == "logits" else int(destination[1])
            if dropped == own:
                continue
            at = found[dropped]
            if destination == "logits":
                effect = (at["logits"] * moved).flatten(1).sum(1)
            elif destination[0] == "m":
                effect = (at[f"blocks.{own}.hook_mlp_in"] * moved).flatten(1).sum(1)
            else:
                head, letter = int(destination[4]), destination[6]
                name = f"blocks.{own}.hook_{letter}_input"
                if letter == "v":
                    effect = (at[name][:, :, head] * moved).flatten(1).sum(1)
                else:
                    patterns = pattern_under(hooked, tokens, name, head, moved)
                    slope = at[f"blocks.{own}.attn.hook_pattern"][:, head]
                    effect = (patterns * slope).flatten(1).sum(1)
            sizes.append(effect.abs().mean().item())
        wanted.append(np.mean(sizes))
    scores = discover("atp-star", task, batch_size=2)
    assert np.allclose(scores.values, wanted, atol=1e-10)
    assert scores.values.max() > 1e-2
    assert scores.backward_passes == 2 * 2 * 3


@pytest.mark.parametrize("metric", ["logit_diff", "kl"])
def test_without_its_repairs_it_is_eap(metric: str) -> None:
    task = random_task(metric)
    found = discover("atp-star", task, fix_attention=False, drop_layers=False)
    assert np.allclose(found.values, discover("eap", task).values, atol=1e-12)
    fixed = discover("atp-star", task, drop_layers=False).values
    letters = [d.letter for d in task.graph.destinations]
    into = np.array([letters[d] in ("q", "k") for d in task.graph.destination_of_edge])
    assert np.allclose(fixed[~into], found.values[~into], atol=1e-12)
    assert np.abs(fixed - found.values)[into].max() > 1e-3


def test_where_all_is_linear_behind_the_pattern_it_is_exact() -> None:
    """One layer of heads, no norm, a linear metric: softmax is all that bends."""
    config = TransformerConfig(1, 3, 8, 3, 0, n_ctx=5, d_vocab=6, d_vocab_out=4)
    model = Transformer(config, dtype=torch.float64).initialise(0).requires_grad_(False)
    task = replace(random_task("logit_diff"), model=model)
    exact = discover("exact", task).values
    assert np.allclose(discover("atp-star", task).values, exact, atol=1e-12)
    assert np.abs(discover("eap", task).values - exact).max() > 1e-3
