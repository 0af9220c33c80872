"""Integrated gradients where their value is known: completeness, polynomials, linear models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from knowncircuits.errors import MethodError
from knowncircuits.evaluation.choices import Ablation
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.gradients import mask_gradients
from knowncircuits.evaluation.methods.integrated import Rule, quadrature
from knowncircuits.evaluation.methods.nodes import sum_by_source
from knowncircuits.evaluation.task import Task
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.hooks import run_patched
from knowncircuits.transformer import Transformer
from strategies import linear_task, random_task


def patched_nodes(task: Task) -> dict[str, float]:
    """The metric with all edges out of one node patched, by hooks alone."""
    assert isinstance(task.model, Transformer)
    hooked, effects = to_hooked(task.model), {}
    for source in task.graph.sources:
        mask = torch.zeros(task.n_pairs, task.graph.n_edges, dtype=torch.float64)
        mask[:, task.graph.edges_from(source)] = 1
        with torch.no_grad():
            logits = run_patched(hooked, task.clean, task.alternative, mask).logits
            measured = task.measure(logits, torch.arange(task.n_pairs))
        effects[source] = measured.mean().item()
    return effects


def test_eap_of_a_divergence_is_one_step_of_eap_ig() -> None:
    """Gradients at the clean run, which EAP's authors take, are rounding alone there."""
    task = random_task("kl")
    mask = torch.zeros(1, task.graph.n_edges, dtype=torch.float64)
    pairs = torch.arange(task.n_pairs)
    at_clean = mask_gradients(task, task.clean, task.alternative, mask, pairs)
    found, one_step = discover("eap", task).values, discover("eap-ig-inputs", task, steps=1).values
    assert at_clean.abs().max() < 1e-12 < 1e-2 < np.abs(found).max()
    assert np.allclose(found, one_step, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("metric", "ablation"),
    [("kl", "resample"), ("logit_diff", "resample"), ("l2", "mean"), ("label_loss", "zero")],
)
def test_a_nodes_integrated_gradients_come_to_its_patching_effect(
    metric: str, ablation: Ablation
) -> None:
    """As steps grow; of the whole path exactly, since the node is interpolated alone."""
    task = random_task(metric, ablation=ablation, n_pairs=3)
    wanted = patched_nodes(task)
    scores = discover("eap-ig-activations", task, steps=40, rule="gauss", batch_size=1000)
    found = sum_by_source(task.graph, scores.values)
    for node, effect in wanted.items():
        assert found[node] == pytest.approx(effect, abs=1e-8), node
    assert max(map(abs, wanted.values())) > 0.1
    errors = []
    for steps in (4, 16):
        scores = discover("eap-ig-activations", task, steps=steps, rule="midpoint")
        found = sum_by_source(task.graph, scores.values)
        errors.append(max(abs(found[node] - wanted[node]) for node in wanted))
    assert errors[1] < errors[0] / 8  # by the square of the steps


def test_an_edge_patched_alone_is_integrated_exactly() -> None:
    """Edges into `logits` under a quadratic metric: one step in the middle is exact."""
    task = random_task("l2")
    exact = discover("exact", task).values
    found = discover("eap-ig-activations", task, steps=1, rule="gauss")
    # Only what no other edge carries on: the last layer's MLP has no way but `m1->logits`.
    edge = task.graph.index("m1->logits")
    assert found.values[edge] == pytest.approx(exact[edge], abs=1e-12)
    assert exact[edge] > 1e-3


@pytest.mark.parametrize("ablation", ["resample", "mean"])
def test_embeddings_that_move_alone(ablation: Ablation) -> None:
    """Inputs and one node are the same way where that node is the only input that differs."""
    task = random_task(ablation=ablation, n_pairs=3)
    inputs = discover("eap-ig-inputs", task, steps=6, rule="gauss").values
    nodes = discover("eap-ig-activations", task, steps=6, rule="gauss").values
    embed = task.graph.edges_from("embed")
    assert np.allclose(inputs[embed], nodes[embed], atol=1e-12)
    assert np.abs(inputs - nodes).max() > 1e-3


def test_inputs_integrate_what_hooks_see() -> None:
    """The sum over steps of gradients times differences, taken one step at a time by autograd."""
    task = random_task("kl", n_pairs=4)
    model, steps = task.model, 3
    assert isinstance(model, Transformer)
    clean, difference = task.clean_run.outputs, task.differences
    wanted = torch.zeros(task.graph.n_edges, dtype=torch.float64)
    hooked = to_hooked(model).requires_grad_(True)
    for share in quadrature(steps, "riemann")[0]:
        embedded = clean[:, 0] + share * difference[:, 0]
        gradients: dict[str, torch.Tensor] = {}

        def keep(gradient: torch.Tensor, hook: object, into: dict = gradients) -> None:  # type: ignore[type-arg]
            into[hook.name] = gradient.detach().clone()  # type: ignore[attr-defined]

        names = [f"blocks.{l}.hook_{x}" for l in (0, 1) for x in ("q_input", "k_input", "v_input")]
        names += ["blocks.0.hook_mlp_in", "blocks.1.hook_mlp_in", "blocks.1.hook_resid_post"]
        with hooked.hooks(
            fwd_hooks=[("hook_embed", lambda value, hook, new=embedded: new)],
            bwd_hooks=[(name, keep) for name in names],
        ):
            task.measure(hooked(task.clean), torch.arange(4)).sum().backward()
        for i, edge in enumerate(task.graph.edges):
            source, _, destination = edge.partition("->")
            if destination == "logits":
                gradient = gradients["blocks.1.hook_resid_post"]
            elif destination.startswith("m"):
                gradient = gradients[f"blocks.{destination[1]}.hook_mlp_in"]
            else:
                layer, head, letter = destination[1], int(destination[4]), destination[6]
                gradient = gradients[f"blocks.{layer}.hook_{letter}_input"][:, :, head]
            wanted[i] += (gradient * difference[:, task.graph.sources.index(source)]).sum()
    found = discover("eap-ig-inputs", task, steps=steps, batch_size=5)
    assert np.allclose(found.values, wanted.numpy() / steps / 4, atol=1e-12)
    nodes = discover("nap-ig", task, steps=steps).details["nodes"]
    assert nodes == pytest.approx(sum_by_source(task.graph, found.values), abs=1e-12)


def test_on_a_linear_model_all_are_exact_patching() -> None:
    task = linear_task("logit_diff")
    exact = discover("exact", task).values
    assert np.abs(exact).max() > 1e-2
    for name in ("eap", "clean-corrupted", "eap-ig-inputs", "eap-ig-activations"):
        assert np.allclose(discover(name, task).values, exact, atol=1e-10), name
    values = discover("eap", task, gradients_at="corrupted").values
    assert np.allclose(values, exact, atol=1e-10)


def test_on_a_linear_model_a_quadratic_metric_needs_one_step() -> None:
    """Each node's own way; the cross terms of two edges at once are shared between them."""
    task = linear_task("l2")
    found = discover("eap-ig-activations", task, steps=1, rule="gauss")
    wanted = patched_nodes(task)
    assert sum_by_source(task.graph, found.values) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("rule", ["riemann", "midpoint", "gauss"])
def test_quadrature(rule: Rule) -> None:
    for steps in (1, 2, 5, 20):
        points, weights = quadrature(steps, rule)
        assert weights.sum() == pytest.approx(1)
        assert (points > 0).all()
        assert (points <= 1).all()
        degree = {"riemann": 0, "midpoint": 1, "gauss": 2 * steps - 1}[rule]
        for power in range(degree + 1):
            assert weights @ points**power == pytest.approx(1 / (power + 1))
    assert quadrature(4, "riemann")[0].tolist() == [1, 0.75, 0.5, 0.25]


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_steps() -> None:
    task = random_task()
    with pytest.raises(MethodError, match="steps to be greater than or equal to 1, got 0"):
        discover("eap-ig-inputs", task, steps=0)
    with pytest.raises(MethodError, match="'gauss', got 'simpson'"):
        discover("nap-ig", task, rule="simpson")
    with pytest.raises(MethodError, match="'clean' or 'corrupted', got 'middle'"):
        discover("nap", task, gradients_at="middle")


def test_a_node_that_writes_the_same_is_not_run() -> None:
    task = random_task(n_pairs=3)
    scores = discover("eap-ig-activations", task, steps=2)
    moving = int((task.differences != 0).flatten(2).any(2).sum())
    assert moving < 3 * len(task.graph.sources)  # at least pos
    assert scores.backward_passes == 2 * moving
    assert not scores.values[task.graph.edges_from("pos")].any()
