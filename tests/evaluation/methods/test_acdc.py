"""ACDC decides as a plain sequential implementation does, whatever is tried in one batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from knowncircuits.architecture import TransformerConfig
from knowncircuits.cases import load_case
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.choices import Ablation
from knowncircuits.evaluation.methods.acdc import removal_order
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.scoring.scores import score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.graph import Graph
from parts import examples
from strategies import configs, random_model, random_task, random_tokens


def sequential(task: Task, threshold: float) -> tuple[set[str], list[float]]:
    """The kept edges, and every change that was compared: one edge and one run after another.

    In the order that Conmy et al.'s code has, spelled out.
    """
    graph = task.graph
    order = []
    for destination in reversed(graph.destinations):
        block = next(b for b in graph.blocks if destination in b.destinations)
        sources = list(graph.sources[: block.n_sources])
        late_first = []
        for layer in reversed(range(graph.n_layers)):
            late_first += [f"m{layer}"] + [f"a{layer}.h{h}" for h in range(graph.n_heads)]
        late_first += ["embed", "pos"]
        order += [f"{source}->{destination}" for source in late_first if source in sources]
    assert len(order) == graph.n_edges
    removed: set[str] = set()
    changes = []

    def measure(edges: set[str]) -> float:
        mask = torch.tensor([[float(edge in edges) for edge in graph.edges]]).double()
        logits = task.model.run(task.clean, task.alternative, mask).logits
        return task.measure(logits, torch.arange(task.n_pairs)).mean().item()

    current = measure(removed)
    for edge in order:
        after = measure(removed | {edge})
        changes.append(after - current)
        if after - current < threshold:
            removed.add(edge)
            current = after
    return set(graph.edges) - removed, changes


@settings(max_examples=examples(20))
@given(
    config=configs(max_layers=2, max_heads=2),
    seed=st.integers(0, 1000),
    thresholds=st.lists(st.floats(-9, 1), min_size=1, max_size=3, unique=True),
    batch_size=st.sampled_from([1, 7, 64, 2048]),
    ablation=st.sampled_from(["resample", "mean", "zero"]),
    metric=st.sampled_from(["kl", "l2", "logit_diff"]),
)
def test_decisions_are_those_of_the_sequential_algorithm(
    config: TransformerConfig,
    seed: int,
    thresholds: list[float],
    batch_size: int,
    ablation: Ablation,
    metric: str,
) -> None:
    model = random_model(config, seed).requires_grad_(False)
    clean = random_tokens(model, 2, config.n_ctx, seed)
    corrupted = (clean + 1) % config.d_vocab
    counts = torch.ones_like(clean, dtype=torch.bool)
    task = Task("random", model, clean, corrupted, counts, metric, ablation)
    taus = [10**x for x in thresholds]
    found = discover("acdc", task, thresholds=taus, batch_size=batch_size)
    wanted = dict.fromkeys(task.graph.edges, 0.0)
    for tau in sorted(taus):
        kept, changes = sequential(task, tau)
        if np.abs(np.array(changes) - tau).min() < 1e-12:
            return  # a tie to within rounding, which may fall either way
        wanted |= dict.fromkeys(kept, tau)
    assert dict(zip(task.graph.edges, found.values.tolist(), strict=True)) == wanted


def test_fewer_runs_than_the_sequential_algorithm_needs() -> None:
    compiled = load_case("fraction_of_x").compile()
    task = make_task(compiled, 20)
    scores = discover("acdc", task)
    published = scores.details["sequential_forward_passes"]
    assert published == 13 * 33 * 20
    assert scores.forward_passes < published / 5
    assert scores.backward_passes == 0
    assert scores.rank_by == "signed"
    found = score(scores, compiled.circuit)
    assert found.auroc == 1.0


def test_every_trial_counts_once() -> None:
    """One threshold, where no guess is wrong: an edge that is without effect is not run."""
    task = random_task()
    scores = discover("acdc", task, thresholds=[1e9])
    assert not scores.values.any()
    # Once the edges into logits are gone, nothing is read any more; pos is the same anyway.
    into_logits = sum(e.endswith("->logits") and e != "pos->logits" for e in task.graph.edges)
    assert scores.forward_passes == (2 + 1 + into_logits) * task.n_pairs


def test_the_order() -> None:
    graph = Graph(n_layers=2, n_heads=2)
    order = [graph.edges[i] for i in removal_order(graph)]
    first = ["m1", "a1.h0", "a1.h1", "m0", "a0.h0", "a0.h1", "embed", "pos"]
    assert order[:8] == [f"{source}->logits" for source in first]
    assert order[8] == "a1.h0->m1"
    heads = [edge.partition("->")[2] for edge in order if edge.startswith("embed->a1")]
    assert heads == [f"a1.h{h}<{letter}>" for letter in "vkq" for h in (1, 0)]
    assert order[-2:] == ["embed->a0.h0<q>", "pos->a0.h0<q>"]


@pytest.mark.parametrize("thresholds", [[], [0.1, 0.0], [-1]])
def test_wrong_thresholds(thresholds: list[float]) -> None:
    above = "thresholds (above 0|to be greater than 0), got"
    with pytest.raises(MethodError, match=above):
        discover("acdc", random_task(), thresholds=thresholds)
