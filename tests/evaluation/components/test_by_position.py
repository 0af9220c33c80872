"""Edges at single positions: against hooks, sums, and a run whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bridges import bridged

import knowncircuits as kc
from knowncircuits.errors import InputError, ShapeError, TaskError, UnknownNameError
from knowncircuits.evaluation.components.by_position import (
    edge_activations,
    edge_effects_by_position,
)
from knowncircuits.evaluation.components.pair import one_pair
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.task import Task
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.hooks import run_patched
from knowncircuits.transformer import Transformer
from strategies import random_task


@pytest.mark.parametrize("kind", ["ours", "GPT-2"])
def test_exact_effects_are_what_hooks_measure(kind: str) -> None:
    task = random_task("label_loss", n_pairs=2) if kind == "ours" else bridged(kind)
    found = edge_effects_by_position(task)
    model = task.model
    if isinstance(model, Transformer):
        hooked = to_hooked(model)
    else:
        hooked = model.bridge  # type: ignore[attr-defined]
        for flag in ("use_split_qkv_input", "use_attn_result", "use_hook_mlp_in"):
            getattr(hooked, f"set_{flag}")(True)
    rng = np.random.default_rng(0)
    places = rng.integers(found.shape, size=(12, 2)).tolist()
    for edge, position in places:
        mask = torch.zeros(task.n_pairs, *found.shape, dtype=torch.float64)
        mask[:, edge, position] = 1
        with torch.no_grad():
            reads = task.clean, task.alternative, mask
            logits = run_patched(hooked, *reads, graph=task.graph).logits
        wanted = task.measure(logits, torch.arange(task.n_pairs)).mean().item()
        assert found[edge, position] == pytest.approx(wanted, abs=1e-9)
    assert np.abs(found[tuple(zip(*places, strict=True))]).max() > 1e-3


@pytest.mark.parametrize("metric", ["kl", "label_loss"])
def test_gradients_come_to_those_of_the_edge(metric: str) -> None:
    task = random_task(metric, n_pairs=4)
    found = edge_effects_by_position(task, "eap", batch_size=3)
    assert found.sum(1) == pytest.approx(discover("eap", task).values)
    assert (np.abs(found) > 1e-6).sum(0).min() > 0


def fraction(tokens: str, other: str) -> tuple[Task, tuple[str, ...]]:
    compiled = kc.load_case("fraction_of_x").compile()
    return one_pair(compiled, tokens.split(), other.split())


def test_what_is_read_in_a_patched_run() -> None:
    """With is_x read from `x a b b` the head writes the fraction of x there: 1, 1/2, 1/3, 1/4."""
    task, names = fraction("a x b x", "x a b b")
    assert names == ("BOS", "a", "x", "b", "x")
    graph = task.graph
    mask = torch.zeros(1, graph.n_edges)
    mask[0, graph.index("m0->a1.h0<v>")] = 1
    lengths, masks = edge_activations(task.model, task.clean, task.alternative, mask)
    assert lengths[graph.index("m0->a1.h0<v>")].tolist() == pytest.approx([0, 1, 0, 0, 0])
    written = lengths[graph.index("a1.h0->logits")]
    assert written[1:].tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert masks[graph.index("m0->a1.h0<v>")].tolist() == [1] * 5
    assert masks.sum() == 5
    plain, none = edge_activations(task.model, task.clean)
    assert plain[graph.index("a1.h0->logits")][1:].tolist() == pytest.approx(
        [0, 1 / 2, 1 / 3, 1 / 2]
    )
    assert not none.any()


def test_the_effect_at_a_position_of_a_known_run() -> None:
    """Reading `x` at the first position raises every later fraction: by 1, 1/2, 1/3 and 1/4."""
    task, _ = fraction("a a a a", "x a a a")
    found = edge_effects_by_position(task)
    place = task.graph.index("m0->a1.h0<v>")
    gains = np.array([1, 1 / 2, 1 / 3, 1 / 4])
    assert found[place].tolist() == pytest.approx([0, np.mean(gains**2), 0, 0, 0])
    out = task.graph.index("a1.h0->logits")
    assert found[out].tolist() == pytest.approx([0, *(gains**2 / 4)])


@pytest.mark.usefixtures("no_shape_checks")
def test_errors() -> None:
    task = random_task()
    with pytest.raises(UnknownNameError, match="unknown way 'exakt'; did you mean exact"):
        edge_effects_by_position(task, "exakt")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"one input \[1, pos\], got \[6, 5\]"):
        edge_activations(task.model, task.clean)
    compiled = kc.load_case("fraction_of_x").compile()
    with pytest.raises(TaskError, match="together, got only one of them"):
        one_pair(compiled, ["a"])
    with pytest.raises(TaskError, match="a corrupted input of 1 tokens, got 2"):
        one_pair(compiled, ["a"], ["a", "x"])
    with pytest.raises(InputError, match="expected tokens among"):
        one_pair(compiled, ["z"], ["a"])
    drawn, names = one_pair(compiled, seed=3)
    assert drawn.n_pairs == 1
    assert len(names) == drawn.clean.shape[1]
