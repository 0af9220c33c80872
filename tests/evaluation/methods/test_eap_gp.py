"""EAP-GP against its algorithm written out, one pair at a time, through hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from knowncircuits.choices import Positions
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.transformer import Transformer
from strategies import random_task


@pytest.mark.parametrize(
    ("metric", "positions"), [("kl", "learned"), ("kl", "rotary"), ("prob_diff", "learned")]
)
def test_scores_are_gradients_on_the_path(metric: str, positions: Positions) -> None:
    task, steps = random_task(metric, n_pairs=2, positions=positions), 3
    assert isinstance(task.model, Transformer)
    hooked = to_hooked(task.model).requires_grad_(True)
    wanted = np.zeros(task.graph.n_edges)
    for pair in range(task.n_pairs):
        tokens, corrupted = task.clean[pair : pair + 1], task.corrupted[pair : pair + 1]
        target = hooked(corrupted).detach()
        point = hooked.embed(tokens).detach()
        for _ in range(steps):
            point.requires_grad_()
            with hooked.hooks(fwd_hooks=[("hook_embed", lambda value, hook, new=point: new)]):
                away = (hooked(tokens) - target)[:, 1:]  # the first position does not count
                (down,) = torch.autograd.grad(away.pow(2).sum(), point)
            point = (point - down / down.pow(2).sum().sqrt()).detach()
            at: dict[str, Tensor] = {}

            def keep(gradient: Tensor, hook: Any, into: dict[str, Tensor] = at) -> None:
                into[hook.name] = gradient.detach().clone()

            names = [f"blocks.{l}.hook_{x}_input" for l in (0, 1) for x in "qkv"]
            names += ["blocks.0.hook_mlp_in", "blocks.1.hook_mlp_in", "blocks.1.hook_resid_post"]
            new = point.clone().requires_grad_()
            with hooked.hooks(
                fwd_hooks=[("hook_embed", lambda value, hook, new=new: new)],
                bwd_hooks=[(name, keep) for name in names],
            ):
                task.measure(hooked(tokens), torch.tensor([pair])).sum().backward()
            for i, edge in enumerate(task.graph.edges):
                source, _, to = edge.partition("->")
                if to == "logits":
                    slope = at["blocks.1.hook_resid_post"]
                elif to[0] == "m":
                    slope = at[f"blocks.{to[1]}.hook_mlp_in"]
                else:
                    slope = at[f"blocks.{to[1]}.hook_{to[6]}_input"][:, :, int(to[4])]
                moved = task.differences[pair, task.graph.sources.index(source)]
                wanted[i] += (slope * moved).sum().item() / steps / task.n_pairs
    found = discover("eap-gp", task, steps=steps, batch_size=1)
    assert np.allclose(found.values, wanted, atol=1e-10)
    assert np.abs(wanted).max() > 1e-2
    assert np.allclose(discover("eap-gp", task, steps=steps).values, wanted, atol=1e-10)
    assert (found.forward_passes, found.backward_passes) == (2 * (2 + 4 * 3), 2 * 3 * 3)


def test_there_is_no_path_to_a_mean() -> None:
    with pytest.raises(MethodError, match="expected the ablation resample for a path, got mean"):
        discover("eap-gp", random_task(ablation="mean"))
