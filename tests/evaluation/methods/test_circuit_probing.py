"""Circuits of several sizes: masks against a plain loop, planted circuits, the order of sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.cases.choices import Direction
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.task import Task, make_task
from strategies import random_task


def plain(task: Task, size: int, steps: int, rate: float, cost: float, seed: int) -> torch.Tensor:
    """How likely edges are kept in the end: hard-concrete masks written out."""
    n_edges = task.graph.n_edges
    logits = torch.full((n_edges,), math.log((1 / 1.2) / (1 - 1 / 1.2)), dtype=torch.float64)
    optimizer = torch.optim.Adam([logits.requires_grad_()], lr=rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        noise = torch.rand(n_edges, generator=generator, dtype=torch.float64).clamp(1e-4, 1 - 1e-4)
        soft = torch.sigmoid((torch.log(noise / (1 - noise)) + logits) / (2 / 3))
        masks = (1.2 * soft - 0.1).clamp(0, 1)
        run = task.model.run(task.clean, task.alternative, (1 - masks)[None])
        metric = task.measure(run.logits, torch.arange(task.n_pairs)).mean()
        optimizer.zero_grad()
        (metric + cost * torch.relu(masks.sum() - size) / size).backward()
        optimizer.step()
    return torch.sigmoid(logits.detach() - 2 / 3 * math.log(0.1 / 1.1))


def test_edges_have_the_smallest_circuit_that_they_are_in() -> None:
    task = random_task()
    sizes, wanted = (3, 10), np.zeros(task.graph.n_edges)
    for value, size in zip((1, 2), reversed(sizes), strict=True):
        chances = plain(task, size, 25, 0.05, 2.0, 5).numpy()
        wanted[np.argsort(-chances)[:size]] = value  # the smaller one comes last
    found = kc.discover(
        "circuit-probing",
        task,
        sizes=[10, 3],
        steps=25,
        learning_rate=0.05,
        regularisation=2,
        seed=5,
    )
    assert np.array_equal(found.values, wanted)
    assert (wanted == 2).sum() == 3
    assert found.details == {"sizes": [3, 10]}
    assert (found.forward_passes, found.backward_passes) == (52 * 6, 50 * 6)


@pytest.mark.parametrize(("case", "direction"), [("fraction_of_x", None), ("backup_3", "on-off")])
def test_a_circuit_of_its_own_size_is_found(case: str, direction: Direction | None) -> None:
    """A backup too, of which no single patch says anything."""
    compiled = kc.load_case(case).compile()
    task = make_task(compiled, 20, direction=direction)
    edges = compiled.circuit.edges()
    found = kc.discover("circuit-probing", task, sizes=[len(edges)])
    assert {edge for edge, _ in found.top(len(edges))} == set(edges)


def test_sizes_beyond_all_edges_are_all() -> None:
    task = random_task(n_pairs=2)
    found = kc.discover("circuit-probing", task, sizes=[10_000, 20_000], steps=1)
    assert np.array_equal(found.values, np.ones(task.graph.n_edges))
    assert found.details == {"sizes": [task.graph.n_edges]}


def test_no_size_is_refused() -> None:
    with pytest.raises(MethodError, match="at least one size of circuits, got none"):
        kc.discover("circuit-probing", random_task(), sizes=[])
