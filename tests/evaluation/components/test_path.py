"""Path patching: by hooks as its authors do it, and by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import knowncircuits as kc
from knowncircuits.errors import TaskError, UnknownNameError
from knowncircuits.evaluation import Task
from strategies import random_task

Hooks = list[tuple[str, Callable[..., Any]]]


def by_hooks(task: Task, sender: str, receivers: list[str], *, freeze_mlps: bool) -> float:
    """As Wang et al. do it: three runs with hooks, of which the last ones are patched."""
    twin = task.to_hooked()
    _, clean = twin.run_with_cache(task.clean)
    _, corrupted = twin.run_with_cache(task.corrupted)
    layer, head = (int(part[1:]) for part in sender.split("."))
    frozen: Hooks = []
    for at in range(twin.cfg.n_layers):
        z = f"blocks.{at}.attn.hook_z"
        value = clean[z].clone()
        if at == layer:
            value[:, :, head] = corrupted[z][:, :, head]
        frozen.append((z, lambda x, hook, value=value: value))
        if freeze_mlps:
            out = f"blocks.{at}.hook_mlp_out"
            frozen.append((out, lambda x, hook, value=clean[out]: value))
    seen: dict[str, Tensor] = {}

    def see(x: Tensor, hook: Any) -> None:
        seen[hook.name] = x.clone()

    patched: Hooks = []
    for receiver in receivers:
        if receiver == "logits":
            name = f"blocks.{twin.cfg.n_layers - 1}.hook_resid_post"
            patched.append((name, lambda x, hook: seen[hook.name]))
            continue
        node, letter = receiver[:-1].split("<")
        at, to = (int(part[1:]) for part in node.split("."))

        def put(x: Tensor, hook: Any, to: int = to) -> Tensor:
            x = x.clone()
            x[:, :, to] = seen[hook.name][:, :, to]
            return x

        patched.append((f"blocks.{at}.hook_{letter}_input", put))
    twin.run_with_hooks(task.clean, fwd_hooks=[*frozen, *((name, see) for name, _ in patched)])
    logits = twin.run_with_hooks(task.clean, fwd_hooks=patched)
    return task.value(logits, torch.arange(task.n_pairs)).mean().item()


@pytest.mark.parametrize("freeze_mlps", [False, True])
@pytest.mark.parametrize("receivers", [["logits"], ["a2.h1<q>"], ["a2.h0<v>", "a1.h1<k>"]])
def test_as_its_authors_do_it(receivers: list[str], freeze_mlps: bool) -> None:
    task = random_task("logit_diff", n_layers=3, norm="layer")
    frame = kc.path_patch(task, ["a0.h0", "a1.h0"], receivers, freeze_mlps)
    wanted = [by_hooks(task, s, receivers, freeze_mlps=freeze_mlps) for s in frame["node"]]
    assert np.abs(frame["value"] - wanted).max() < 1e-12
    assert (frame["value"] - frame.attrs["clean"]).abs().max() > 1e-4


def test_one_edge_is_patched_where_mlps_are_frozen() -> None:
    """Then it is what `exact` says of the edge, for any node."""
    task = random_task("kl")
    exact = kc.discover("exact", task).values
    for edge in ("m0->a1.h0<q>", "embed->m1", "a0.h1->logits", "m1->logits"):
        sender, receiver = edge.split("->")
        frame = kc.path_patch(task, [sender], [receiver], freeze_mlps=True)
        wanted = exact[task.graph.index(edge)]
        assert frame.attrs["clean"] - frame["value"][0] == pytest.approx(wanted, abs=1e-12)


def test_positions_and_several_together() -> None:
    task = random_task("l2", causal=True)
    frame = kc.path_patch(task, [("a0.h0", "m0"), "a1.h1"], per_position=True)
    assert frame["node"].unique().tolist() == ["a0.h0+m0", "a1.h1"]
    assert frame["kind"].unique().tolist() == ["several", "head"]
    assert len(frame) == 2 * 5
    twin = replace(task, model=task.to_hooked())
    again = kc.path_patch(twin, [("a0.h0", "m0"), "a1.h1"], per_position=True)
    assert np.abs(frame["value"] - again["value"]).max() < 1e-12
    # Without norms and later layers, positions of the last layer add up before the metric alone.
    last = kc.path_patch(task, ["a1.h1"])["value"][0]
    assert last != pytest.approx(frame.attrs["clean"])


def test_wrong_arguments() -> None:
    task = random_task()
    with pytest.raises(UnknownNameError, match=r"unknown sender 'a7\.h0'"):
        kc.path_patch(task, ["a7.h0"])
    with pytest.raises(UnknownNameError, match=r"unknown receiver 'a1\.h0<x>'"):
        kc.path_patch(task, None, ["a1.h0<x>"])
    with pytest.raises(TaskError, match="expected receivers such as"):
        kc.path_patch(task, None, "logits")
    with pytest.raises(TaskError, match="expected senders such as"):
        kc.path_patch(task, "a0.h0")
    with pytest.raises(TaskError, match="at least one sender in each group"):
        kc.path_patch(task, ["a0.h0", ()])
