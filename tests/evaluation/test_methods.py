"""Methods against independent computations, and on the compiled models whose circuit is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from knowncircuits.cases import CASES, load_case
from knowncircuits.circuit import Label
from knowncircuits.errors import GraphError, ResultError, TaskError, UnknownNameError
from knowncircuits.evaluation.discover import discover, methods
from knowncircuits.evaluation.scores import Scores, score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.hooked import to_hooked
from knowncircuits.models.hooks import run_patched
from knowncircuits.transformer import Transformer, TransformerConfig
from programs import TWELVE


def random_task(metric: str = "kl", seed: int = 0) -> Task:
    """A dense random model: every edge has an effect."""
    config = TransformerConfig(
        n_layers=2, n_heads=2, d_model=8, d_head=3, d_mlp=12, n_ctx=5, d_vocab=6, d_vocab_out=4
    )
    model = Transformer(config, dtype=torch.float64).initialise(seed)
    generator = torch.Generator().manual_seed(seed)
    clean, corrupted = torch.randint(1, 6, (2, 6, 5), generator=generator)
    counts = torch.ones(6, 5, dtype=torch.bool)
    counts[:, 0] = False
    return Task("random", model.requires_grad_(False), clean, corrupted, counts, metric)


def test_exact_of_any_patchable_model_is_the_same() -> None:
    task = random_task()
    assert isinstance(task.model, Transformer)
    other = replace(task, model=to_hooked(task.model))
    ours, theirs = (discover("exact", t, batch_size=17) for t in (task, other))
    assert np.allclose(ours.values, theirs.values, atol=1e-12)
    assert ours.forward_passes == theirs.forward_passes


@pytest.mark.parametrize("metric", ["kl", "l2"])
def test_exact_equals_patching_the_hooked_module_edge_by_edge(metric: str) -> None:
    task = random_task(metric)
    assert isinstance(task.model, Transformer)
    hooked = to_hooked(task.model)
    alternative = task.corrupted_run.outputs
    pairs = torch.arange(task.n_pairs)
    wanted = []
    for edge in range(task.graph.n_edges):
        mask = torch.zeros(task.n_pairs, task.graph.n_edges, dtype=torch.float64)
        mask[:, edge] = 1
        logits = run_patched(hooked, task.clean, alternative, mask).logits
        wanted.append(task.measure(logits, pairs).mean().item())
    scores = discover("exact", task, batch_size=17)
    assert np.allclose(scores.values, wanted, atol=1e-12)
    assert (scores.values > 0).mean() > 0.6  # all but what leaves pos or repeats in a position
    live = sum(
        (
            task.clean_run.outputs[:, task.graph.source_of_edge[e]]
            != alternative[:, task.graph.source_of_edge[e]]
        )
        .flatten(1)
        .any(1)
        .sum()
        .item()
        for e in range(task.graph.n_edges)
    )
    assert scores.forward_passes == 2 * task.n_pairs + live


@pytest.mark.parametrize("metric", ["kl", "l2"])
def test_eap_equals_gradients_taken_through_hooks(metric: str) -> None:
    """Gradient at each destination's hooked input, times what its source's output would change."""
    task = random_task(metric)
    assert isinstance(task.model, Transformer)
    hooked = to_hooked(task.model)
    inputs: dict[str, torch.Tensor] = {}

    def keep(value: torch.Tensor, hook: object) -> torch.Tensor:
        value = value.detach().requires_grad_() if not value.requires_grad else value
        value.retain_grad()
        inputs[hook.name] = value  # type: ignore[attr-defined]
        return value

    names = ["blocks.{}.hook_q_input", "blocks.{}.hook_k_input", "blocks.{}.hook_v_input"]
    names += ["blocks.{}.hook_mlp_in"]
    hooks = [(name.format(layer), keep) for layer in range(2) for name in names]
    hooked.requires_grad_(True)
    logits = hooked.run_with_hooks(
        task.corrupted, fwd_hooks=[*hooks, ("blocks.1.hook_resid_post", keep)]
    )
    task.measure(logits, torch.arange(task.n_pairs)).sum().backward()
    difference = task.clean_run.outputs - task.corrupted_run.outputs
    wanted = []
    for edge in task.graph.edges:
        source, _, destination = edge.partition("->")
        change = difference[:, task.graph.sources.index(source)]
        if destination == "logits":
            gradient = inputs["blocks.1.hook_resid_post"].grad
        elif destination.startswith("m"):
            gradient = inputs[f"blocks.{destination[1:]}.hook_mlp_in"].grad
        else:
            layer, head, letter = destination[1], int(destination[4]), destination[6]
            gradient = inputs[f"blocks.{layer}.hook_{letter}_input"].grad[:, :, head]
        assert gradient is not None
        wanted.append(-(gradient * change).sum().item() / task.n_pairs)
    values = discover("eap", task, batch_size=4).values
    assert np.allclose(values, wanted, atol=1e-10)
    assert np.abs(values).max() > 1e-3


@pytest.mark.parametrize("name", TWELVE)
def test_exact_finds_the_circuit_of_compiled_models(name: str) -> None:
    """Every edge that carries information has an effect, and no other edge has any."""
    compiled = load_case(name).compile()
    n_pairs = 20 if name == "balanced_parentheses" else 100
    scores = discover("exact", make_task(compiled, n_pairs))
    labels = compiled.circuit.labels
    effects = scores.values
    assert effects[labels == Label.IN].min() > 1e-5
    assert np.abs(effects[labels != Label.IN]).max() < 1e-9
    found = score(scores, compiled.circuit)
    assert found.auroc == found.average_precision == found.precision_at_size == 1.0


def test_a_seed_gives_the_same_scores() -> None:
    task = make_task(load_case("histogram").compile(), 10)
    for name in methods():
        first, second = discover(name, task), discover(name, task)
        assert np.array_equal(first.values, second.values)
    assert not np.array_equal(
        discover("random", task, seed=1).values, discover("random", task, seed=2).values
    )


def test_random_scores_are_at_chance() -> None:
    compiled = load_case("contains_abc").compile()
    task = make_task(compiled, 2)
    found = [score(discover("random", task, seed=s), compiled.circuit) for s in range(300)]
    assert np.mean([f.auroc for f in found]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([f.precision_at_size for f in found]) == pytest.approx(
        found[0].prevalence, abs=0.03
    )


def test_methods_of_ones_own() -> None:
    compiled = load_case("histogram").compile()
    task = make_task(compiled, 5)

    def truth(task: Task) -> dict[str, float]:
        return {edge: float(edge in compiled.circuit.edges()) for edge in task.graph.edges}

    scores = discover(truth, task)
    assert scores.method == "truth"
    assert score(scores, compiled.circuit).auroc == 1.0
    assert discover(lambda task: torch.ones(task.graph.n_edges), task).values.sum() == 13
    assert scores.top(2) == [("embed->a0.h0<q>", 1.0), ("embed->a0.h0<k>", 1.0)]


def test_results_that_cannot_be_used() -> None:
    task = make_task(load_case("histogram").compile(), 5)
    n = task.graph.n_edges
    with pytest.raises(GraphError, match=r"expected scores of .* of shape \[13\], got \[3\]"):
        discover(lambda task: np.zeros(3), task)
    with pytest.raises(GraphError, match="NaN or infinity at embed->a0.h0<q>"):
        discover(lambda task: np.full(n, np.nan), task)
    with pytest.raises(GraphError, match="unknown edges"):
        discover(lambda task: {"a->b": 1.0}, task)
    with pytest.raises(ResultError, match="vector or a dict"):
        discover(lambda task: "high", task)
    with pytest.raises(UnknownNameError, match="did you mean eap"):
        discover("eapp", task)
    with pytest.raises(TaskError, match="takes no option steps; its options: batch_size"):
        discover("eap", task, steps=3)


def test_other_graphs_are_not_compared() -> None:
    first, second = load_case("histogram").compile(), load_case("reverse").compile()
    scores = discover("random", make_task(first, 2))
    with pytest.raises(GraphError, match="expected scores over 4 layers"):
        score(scores, second.circuit)


def test_every_method_says_what_it_does() -> None:
    from knowncircuits.evaluation.methods import METHODS

    assert methods() == sorted(METHODS)
    for method in METHODS.values():
        assert "\n\n" in (method.run.__doc__ or "")
    assert len(CASES) >= 12
    assert isinstance(discover("random", random_task()), Scores)
