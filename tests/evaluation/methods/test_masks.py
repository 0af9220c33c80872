"""Subnetwork probing: the distribution of masks, planted circuits, and what regularisation does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from knowncircuits.cases import load_case
from knowncircuits.circuit import Label
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.masks import HIGH, LOW, TEMPERATURE, chance_kept, draw_masks
from knowncircuits.evaluation.methods.nodes import edges_between
from knowncircuits.evaluation.task import make_task
from knowncircuits.graph import Graph
from parts import some_long
from strategies import random_task


def test_masks_are_kept_as_often_as_their_chance_says() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.tensor([-4.0, -1.0, 0.0, 2.0], dtype=torch.float64)
    drawn = torch.stack(
        [draw_masks(logits, torch.rand(4, generator=generator).double()) for _ in range(20_000)]
    )
    assert drawn.min() == 0
    assert drawn.max() == 1
    often = (drawn > 0).double().mean(0)
    assert torch.allclose(often, chance_kept(logits), atol=0.01)
    # Symmetric: a mask of logit -x is 0 as often as one of x is 1.
    assert torch.allclose(((drawn == 1).double().mean(0))[2], 1 - often[2], atol=0.01)


@pytest.mark.parametrize(("case", "cost"), [("fraction_of_x", 1.0), ("histogram", 0.1)])
def test_the_masks_of_a_planted_circuit(case: str, cost: float) -> None:
    """Every true edge outranks every other determined one."""
    compiled = load_case(case).compile()
    task = make_task(compiled, 30)
    scores = discover("edge-sp", task, regularisation=cost, learning_rate=0.05, steps=300)
    labels = compiled.circuit.labels
    inside, outside = (scores.values[labels == label] for label in (Label.IN, Label.OUT))
    assert inside.min() > outside.max() + 0.1
    assert scores.values.min() > 0
    assert scores.values.max() < 1
    assert scores.forward_passes == 302 * 30
    assert scores.backward_passes == 300 * 30


def test_nodes_of_a_planted_circuit() -> None:
    compiled = load_case("fraction_of_x").compile()
    task = make_task(compiled, 30)
    kept = discover("sp", task, learning_rate=0.05, steps=300).details["kept"]
    # m0 feeds a1's v; its q and k read nothing that differs, a0 and m1 carry nothing.
    needed = {"m0", "a1.h0<v>"}
    assert min(kept[node] for node in needed) > max(kept[n] for n in kept if n not in needed)


@pytest.mark.parametrize("name", some_long(["sp", "edge-sp"], "sp"))
def test_the_more_it_costs_the_less_is_kept(name: str) -> None:
    task = make_task(load_case("histogram").compile(), 10)
    kept = [
        discover(name, task, regularisation=cost, steps=150, learning_rate=0.05).values.mean()
        for cost in (0, 0.1, 1, 10, 100)
    ]
    assert (np.diff(kept) < 0).all()


def test_sampled_masks_that_are_0_or_1_are_not_moved() -> None:
    """One step, of cost alone: it lowers all masks, or those that were drawn between 0 and 1."""
    task, generator = random_task(), torch.Generator().manual_seed(0)
    start = (0.9 - LOW) / (HIGH - LOW)  # a mask of 0.9 where there is no noise
    uniform = torch.rand(task.graph.n_edges, generator=generator, dtype=torch.float64).numpy()
    odds = (uniform / (1 - uniform) * start / (1 - start)) ** (1 / TEMPERATURE)
    stretched = odds / (1 + odds) * (HIGH - LOW) + LOW
    between = (stretched > 0) & (stretched < 1)
    assert 0 < between.sum() < len(between)
    begun = 1 / (1 + (1 - start) / start * (-LOW / HIGH) ** TEMPERATURE)
    chance, sampled = (
        discover("edge-sp", task, steps=1, regularisation=1e9, regularise=what).values
        for what in ("chance", "sampled")
    )
    assert (chance < begun - 1e-6).all()
    assert np.array_equal(sampled < begun - 1e-6, between)
    assert sampled[~between] == pytest.approx(begun)


def test_only_the_two_things_that_cost() -> None:
    with pytest.raises(MethodError, match="expected regularise to be 'chance' or 'sampled'"):
        discover("sp", random_task(), regularise="mask")


def test_a_head_is_read_while_any_of_its_inputs_is_kept() -> None:
    graph = Graph(n_layers=1, n_heads=1)
    chances = {"a0.h0<q>": 0.1, "a0.h0<k>": 0.2, "a0.h0<v>": 0.7, "m0": 0.4}
    scores = dict(zip(graph.edges, edges_between(graph, chances).tolist(), strict=True))
    assert scores["embed->logits"] == 1
    assert scores["embed->a0.h0<q>"] == 0.1
    assert scores["a0.h0->m0"] == 0.4
    assert scores["a0.h0->logits"] == 0.7
    assert scores["m0->logits"] == 0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps to be greater than or equal to 1, got 0"),
        ({"regularisation": -1.0}, "a regularisation of at least 0, got 500 and -1.0"),
    ],
)
def test_wrong_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        discover("sp", random_task(), **options)
