"""Methods that run a few pairs at a time give what all pairs at once give."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from knowncircuits.architecture import TransformerConfig
from knowncircuits.evaluation.methods import acdc, descent
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.parts import parts
from knowncircuits.evaluation.task import Task
from strategies import random_model, random_tokens

ONE = 11 * 5 * 6  # what the sources of a run write
METHODS: dict[str, dict[str, Any]] = {
    "exact": {"by": "max"},
    "acdc": {"thresholds": [0.01, 0.1]},
    "edge-sp": {"steps": 5},
    "atp-star": {},
    "eap-gp": {"steps": 2},
}


@pytest.fixture
def task() -> Task:
    model = random_model(TransformerConfig(3, 2, 6, 4, 8, 5, 9, 4, norm="layer"))
    clean, corrupted = (random_tokens(model, 5, 5, seed) for seed in (1, 2))
    counts = torch.zeros(5, 5, dtype=torch.bool)
    counts[:, 4] = True
    return Task("random", model, clean, corrupted, counts, "kl")


def test_pairs_come_a_few_at_a_time(task: Task) -> None:
    """As many as there is room for, of as many as were asked for; all for a mean over them."""
    assert [part.n_pairs for part in parts(task, 2 * ONE)] == [2, 2, 1]
    assert [part.n_pairs for part in parts(task, 2 * ONE, 1)] == [1] * 5
    assert [part.n_pairs for part in parts(task, ONE - 1)] == [1] * 5
    (whole,) = parts(task)
    assert whole is task
    (whole,) = parts(replace(task, ablation="mean"), ONE)
    assert whole.n_pairs == 5


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_all_at_once(
    method: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = discover(method, task, **METHODS[method])
    module = f"knowncircuits.evaluation.methods.{method.replace('-', '_')}"
    if method == "edge-sp":
        monkeypatch.setattr(descent, "ROOM", 2 * ONE)
    elif method == "acdc":
        monkeypatch.setattr(acdc, "ROOM", 2 * (ONE + task.graph.n_edges))
    else:
        monkeypatch.setattr(f"{module}.parts", partial(parts, room=2 * ONE))
    sizes: list[int] = []
    run = type(task.model).run

    def counting(model: Any, tokens: torch.Tensor, *rest: Any) -> Any:
        sizes.append(len(tokens))
        return run(model, tokens, *rest)

    monkeypatch.setattr(type(task.model), "run", counting)
    again = replace(task)
    if method in ("edge-sp", "acdc"):  # whose runs of all pairs are made beforehand
        assert again.clean_run
        assert again.corrupted_run
        sizes.clear()
    found = discover(method, again, **METHODS[method])
    assert max(sizes) == 2
    np.testing.assert_allclose(found.values, whole.values, rtol=1e-9, atol=1e-12)
    if method != "acdc":  # which guesses no more decisions ahead than there is room for
        assert found.forward_passes == whole.forward_passes
    assert found.backward_passes == whole.backward_passes
