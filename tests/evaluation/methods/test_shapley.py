"""Shapley values against their definition, over all sets, and where they can be worked out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.interop.hooked import to_hooked


def compiled_task(name: str, direction: str, n_pairs: int = 4) -> Task:
    return make_task(kc.load_case(name).compile(), n_pairs, 2, corruption=direction)


def by_definition(task: Task) -> np.ndarray:
    """Of edges with sources that differ: weighted means over all sets of the others, by hooks."""
    twin, graph = to_hooked(task.model), task.graph
    differs = (task.differences != 0).flatten(2).any(2).numpy()[:, graph.source_of_edge]
    values = np.zeros(graph.n_edges)
    for pair in range(task.n_pairs):
        players = np.flatnonzero(differs[pair])
        n = len(players)
        sets = torch.tensor(list(itertools.product((0, 1), repeat=n)), dtype=torch.float64)
        mask = torch.zeros(len(sets), graph.n_edges, dtype=torch.float64)
        mask[:, players] = sets
        with torch.no_grad():
            outputs = twin.run(task.corrupted[pair : pair + 1]).outputs
            runs = twin.run(task.clean[pair].expand(len(sets), -1), outputs, mask)
        worths = task.measure(runs.logits, torch.full((len(sets),), pair)).numpy()
        sizes = sets.sum(1).long()
        for i, player in enumerate(players):
            without = sets[:, i] == 0
            with_it = torch.nonzero(without).flatten() + 2 ** (
                n - 1 - i
            )  # the last bit changes first
            weights = [1 / (n * math.comb(n - 1, int(size))) for size in sizes[without]]
            values[player] += np.dot(weights, worths[with_it] - worths[without.numpy()])
    return values / task.n_pairs


def small_task() -> Task:
    """A model with few edges, none of whose answers is certain."""
    config = kc.TransformerConfig(
        n_layers=1, n_heads=1, d_model=6, d_head=3, d_mlp=4, d_vocab=5, d_vocab_out=3, n_ctx=4
    )
    model = kc.Transformer(config).initialise(3, gain=2).double()
    rng = torch.Generator().manual_seed(0)
    clean, corrupted = torch.randint(5, (2, 5, 4), generator=rng)
    return Task("small", model, clean, corrupted, torch.ones_like(clean, dtype=torch.bool))


def test_values_are_those_of_the_definition() -> None:
    task = small_task()
    wanted = by_definition(task)
    scores = kc.discover("shapley", task, error=0.03)
    greatest = np.abs(wanted).max()
    assert greatest > 0.01
    assert scores.details["standard_error"] <= 0.03
    assert np.abs(scores.values - wanted).max() < 4 * 0.03 * greatest
    # All together are worth what the corrupted run is.
    lost = task.measure(task.corrupted_run.logits, torch.arange(task.n_pairs)).mean().item()
    assert scores.values.sum() == pytest.approx(lost)
    assert wanted.sum() == pytest.approx(lost)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_copies_have_equal_shares(n: int) -> None:
    """Where one of k copies is enough each has 1/k of what they are worth together."""
    task = compiled_task(f"copies_{n}", "on-off")
    scores = kc.discover("shapley", task, error=0.04, seed=1)
    values = dict(zip(task.graph.edges, scores.values, strict=True))
    circuit = kc.load_case(f"copies_{n}").compile().circuit
    parts = [values[f"a1.h{i}->m1"] for i in range(n)]
    assert np.allclose(parts, np.mean(parts), atol=4 * 0.04 * max(values.values()))
    inside = sum(values[edge] for edge in circuit.edges())
    assert inside == pytest.approx(sum(values.values()), abs=1e-9)
    for edge, value in values.items():
        if circuit.label(edge) == kc.Label.OUT:
            assert abs(value) < 1e-12


def test_it_finds_what_single_patches_miss() -> None:
    circuit = kc.load_case("gate_or_3").compile().circuit
    task = compiled_task("gate_or_3", "on-off", 10)
    assert kc.score(kc.discover("shapley", task), circuit).average_precision == 1
    assert kc.score(kc.discover("exact", task), circuit).average_precision < 0.6


def test_orders_follow_from_the_seed_and_no_batch() -> None:
    task = small_task()
    first = kc.discover("shapley", task, rounds=4, seed=1)
    assert np.allclose(
        first.values, kc.discover("shapley", task, rounds=4, seed=1, batch_size=7).values
    )
    assert not np.allclose(first.values, kc.discover("shapley", task, rounds=4, seed=2).values)
    assert first.details["rounds"] == 4
    differs = (task.differences != 0).flatten(2).any(2).numpy()[:, task.graph.source_of_edge]
    assert first.forward_passes == 2 * task.n_pairs + 2 * 4 * differs.sum()


def test_few_rounds_are_refused() -> None:
    with pytest.raises(MethodError, match="at least 4 rounds, got 3"):
        kc.discover("shapley", small_task(), rounds=3)
