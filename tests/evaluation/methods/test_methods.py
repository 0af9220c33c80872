"""Methods against independent computations, and on the compiled models whose circuit is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from quick_methods import OURS_ONLY, QUICK

from knowncircuits.cases import CASES, load_case
from knowncircuits.circuit import Label
from knowncircuits.errors import GraphError, MethodError
from knowncircuits.evaluation.choices import Ablation
from knowncircuits.evaluation.methods import METHODS
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.evaluation.methods.discovery import (
    discover,
    expand_methods,
    fit_options,
    load_method,
    methods,
)
from knowncircuits.evaluation.metrics import METRICS
from knowncircuits.evaluation.scoring.scores import Scores, score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.hooks import run_patched
from knowncircuits.transformer import Transformer
from parts import twelve_first
from programs import TWELVE
from strategies import random_task


def test_exact_of_any_patchable_model_is_the_same() -> None:
    task = random_task()
    assert isinstance(task.model, Transformer)
    other = replace(task, model=to_hooked(task.model))
    ours, theirs = (discover("exact", t, batch_size=17) for t in (task, other))
    assert np.allclose(ours.values, theirs.values, atol=1e-12)
    assert ours.forward_passes == theirs.forward_passes


@pytest.mark.parametrize(
    ("metric", "ablation"),
    [("kl", "resample"), ("l2", "resample"), ("logit_diff", "mean"), ("prob_diff", "zero")],
)
def test_exact_equals_patching_the_hooked_module_edge_by_edge(
    metric: str, ablation: Ablation
) -> None:
    task = random_task(metric, ablation=ablation)
    assert isinstance(task.model, Transformer)
    hooked = to_hooked(task.model)
    alternative = task.alternative
    pairs = torch.arange(task.n_pairs)
    wanted = []
    for edge in range(task.graph.n_edges):
        mask = torch.zeros(task.n_pairs, task.graph.n_edges, dtype=torch.float64)
        mask[:, edge] = 1
        logits = run_patched(hooked, task.clean, alternative, mask).logits
        wanted.append(task.measure(logits, pairs).mean().item())
    scores = discover("exact", task, batch_size=17)
    assert np.allclose(scores.values, wanted, atol=1e-12)
    assert (scores.values != 0).mean() > 0.6  # all but what leaves pos or repeats in a position
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


@pytest.mark.parametrize("metric", METRICS)
def test_exact_denoises_from_the_corrupted_run(metric: str) -> None:
    """By hooks: the corrupted run with one edge that reads what its source writes on the clean."""
    task = random_task(metric)
    assert isinstance(task.model, Transformer)
    hooked, pairs = to_hooked(task.model), torch.arange(task.n_pairs)
    lost = task.measure(task.corrupted_run.logits, pairs).mean().item()
    wanted = []
    for edge in range(task.graph.n_edges):
        mask = torch.zeros(task.n_pairs, task.graph.n_edges, dtype=torch.float64)
        mask[:, edge] = 1
        logits = run_patched(hooked, task.corrupted, task.clean_run.outputs, mask).logits
        wanted.append(lost - task.measure(logits, pairs).mean().item())
    scores = discover("exact", task, by="denoising", batch_size=17)
    assert np.allclose(scores.values, wanted, atol=1e-12)
    assert not np.allclose(scores.values, discover("exact", task).values, atol=1e-3)
    noised = discover("exact", task)
    both = np.abs([noised.values, scores.values])
    assert np.allclose(discover("exact", task, by="max").values, both.max(0), atol=1e-12)
    added = discover("exact", task, by="sum")
    assert np.allclose(added.values, both.sum(0), atol=1e-12)
    runs = [found.forward_passes - 2 * task.n_pairs for found in (noised, scores)]
    assert added.forward_passes == sum(runs) + 2 * task.n_pairs
    with pytest.raises(MethodError, match="the ablation resample to denoise, got zero"):
        discover("exact", random_task(metric, ablation="zero"), by="max")


@pytest.mark.parametrize("ablation", ["resample", "mean", "zero"])
@pytest.mark.parametrize("metric", METRICS)
def test_eap_equals_gradients_taken_through_hooks(metric: str, ablation: Ablation) -> None:
    """Gradient at each destination's hooked input, times what its source's output would change."""
    task = random_task(metric, ablation=ablation)
    divergence = metric in ("kl", "l2")
    wanted = hooked_eap(task, task.corrupted if divergence else task.clean)
    values = discover("eap", task, batch_size=4).values
    assert np.allclose(values, wanted, atol=1e-10)
    assert np.abs(values).max() > 1e-3
    other = hooked_eap(task, task.clean if divergence else task.corrupted)
    both = discover("clean-corrupted", task, batch_size=4).values
    assert np.allclose(both, (wanted + other) / 2, atol=1e-10)
    if divergence:
        assert np.abs(other).max() < 1e-12  # least there
        with pytest.raises(MethodError, match=f"gradients_at='corrupted' with {metric}"):
            discover("eap", task, gradients_at="clean")
    else:
        values = discover("nap", task, gradients_at="corrupted", batch_size=4).details["nodes"]
        sums = np.bincount(task.graph.source_of_edge, other)
        assert np.allclose(list(values.values()), sums, atol=1e-10)


def hooked_eap(task: Task, tokens: torch.Tensor) -> np.ndarray:
    """Mean over pairs of gradient times difference, at the unpatched run on these tokens."""
    assert isinstance(task.model, Transformer)
    hooked = to_hooked(task.model).requires_grad_(True)
    inputs: dict[str, torch.Tensor] = {}

    def keep(value: torch.Tensor, hook: object) -> torch.Tensor:
        value = value.detach().requires_grad_() if not value.requires_grad else value
        value.retain_grad()
        inputs[hook.name] = value  # type: ignore[attr-defined]
        return value

    names = ["blocks.{}.hook_q_input", "blocks.{}.hook_k_input", "blocks.{}.hook_v_input"]
    names += ["blocks.{}.hook_mlp_in"]
    hooks = [(name.format(layer), keep) for layer in range(2) for name in names]
    logits = hooked.run_with_hooks(tokens, fwd_hooks=[*hooks, ("blocks.1.hook_resid_post", keep)])
    task.measure(logits, torch.arange(task.n_pairs)).sum().backward()
    effects = []
    for edge in task.graph.edges:
        source, _, destination = edge.partition("->")
        change = task.differences[:, task.graph.sources.index(source)]
        if destination == "logits":
            gradient = inputs["blocks.1.hook_resid_post"].grad
        elif destination.startswith("m"):
            gradient = inputs[f"blocks.{destination[1:]}.hook_mlp_in"].grad
        else:
            layer, head, letter = destination[1], int(destination[4]), destination[6]
            gradient = inputs[f"blocks.{layer}.hook_{letter}_input"].grad[:, :, head]
        assert gradient is not None
        effects.append((gradient * change).sum().item() / task.n_pairs)
    return np.array(effects)


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


@pytest.mark.parametrize("name", methods())
def test_a_seed_gives_the_same_scores_and_they_are_finite(name: str) -> None:
    compiled = load_case("histogram").compile()
    for ablation in ("resample", "mean", "zero"):
        task = make_task(compiled, 5, ablation=ablation)
        options = QUICK.get(name, {})
        if name == "eap-gp" and ablation != "resample":  # no path leads there; see its own tests
            continue
        first, second = (
            discover(name, task, circuit=compiled.circuit, **options) for _ in range(2)
        )
        assert np.array_equal(first.values, second.values)
        assert options.items() <= first.options.items()
        assert first.rank_by == load_method(name).rank_by


@pytest.mark.parametrize("name", sorted(METHODS.keys() - OURS_ONLY))
def test_methods_run_on_any_patchable_model(name: str) -> None:
    """Hooks instead of the fast path, and one row at a time instead of many."""
    task = random_task()
    assert isinstance(task.model, Transformer)
    other = replace(task, model=to_hooked(task.model).requires_grad_(False))
    options = QUICK.get(name, {})
    ours = discover(name, task, **options)
    small = {"batch_size": 5} if "batch_size" in ours.options else {}
    theirs = discover(name, other, **options, **small)
    assert np.allclose(ours.values, theirs.values, atol=1e-9)
    assert ours.backward_passes == theirs.backward_passes


@pytest.mark.parametrize("name", ["random", "sp", "edge-sp", "edge-pruning", "ugs", "discogp"])
def test_another_seed_gives_other_scores(name: str) -> None:
    task = make_task(load_case("histogram").compile(), 5)
    first, second = (
        discover(name, task, seed=seed, **QUICK.get(name, {})).values for seed in (1, 2)
    )
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", twelve_first(CASES))
def test_controls_that_know_the_truth(name: str) -> None:
    """1 and 0 wherever there are determined edges of both kinds."""
    circuit = load_case(name).compile().circuit
    aurocs = []
    for control in ("truth", "inverted-truth"):
        values = CONTROLS[control].run(circuit)
        aurocs.append(score(Scores(circuit.graph, values, control, "signed"), circuit).auroc)
    both = {Label.IN, Label.OUT} <= {Label(label) for label in circuit.labels.tolist()}
    assert aurocs == ([1.0, 0.0] if both else [None, None])


def test_the_truth_is_shown_to_controls_alone() -> None:
    compiled = load_case("histogram").compile()
    task = make_task(compiled, 2)
    seen = []
    discover(lambda given: seen.append(given) or np.zeros(13), task, circuit=compiled.circuit)
    assert seen == [task]
    assert not any(value is compiled.circuit for value in vars(task).values())
    for circuit in (None, load_case("reverse").compile().circuit):
        with pytest.raises(MethodError, match="the circuit of the task's model for the control tr"):
            discover("truth", task, circuit=circuit)
    assert np.array_equal(discover("depth", task).values, CONTROLS["depth"].run(task.graph))


def test_random_scores_are_at_chance() -> None:
    compiled = load_case("contains_abc").compile()
    graph, random = compiled.circuit.graph, CONTROLS["random"].run
    found = [
        score(Scores(graph, random(graph, seed=s), "random"), compiled.circuit) for s in range(300)
    ]
    assert np.mean([f.auroc for f in found]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([f.precision_at_size for f in found]) == pytest.approx(
        found[0].prevalence, abs=0.03
    )


def test_other_graphs_are_not_compared() -> None:
    first, second = load_case("histogram").compile(), load_case("reverse").compile()
    scores = discover("random", make_task(first, 2))
    with pytest.raises(GraphError, match="expected scores over 4 layers"):
        score(scores, second.circuit)


def test_every_method_says_what_it_does() -> None:
    """Its paper by a year, what it ranks by, its options and its cost."""
    assert set(METHODS) | set(CONTROLS) <= set(methods())
    for name, method in METHODS.items():
        text = method.run.__doc__ or ""
        for part in ("(20", "Ranks", "Args:", "Cost:"):
            assert part in text or (part == "(20" and ", 20" in text), (name, part)
    for control in CONTROLS.values():
        assert "\n\n" in (control.run.__doc__ or "")
    assert isinstance(discover("random", random_task()), Scores)


def test_methods_are_named_once_and_all_are_ours() -> None:
    assert expand_methods(["eap", "mine:f", "eap"]) == ["eap", "mine:f"]
    assert expand_methods(["mine:f", "all"]) == ["mine:f", *METHODS, *CONTROLS]


def test_options_of_a_name_are_as_the_method_takes_them() -> None:
    fitted = fit_options("acdc", {"thresholds": (0.5, 1), "batch_size": 1e3})
    assert fitted == {"thresholds": [0.5, 1.0], "batch_size": 1000}
    assert isinstance(fitted["batch_size"], int)
    with pytest.raises(MethodError, match="no option steps"):
        fit_options("eap", {"steps": 3})


def test_options_are_checked_and_recorded() -> None:
    task = random_task()
    assert discover("eap", task, batch_size=3).options == {"gradients_at": None, "batch_size": 3}
    with pytest.raises(MethodError, match="no option steps; its options: gradients_at, batch_size"):
        discover("eap", task, steps=3)
    with pytest.raises(
        MethodError, match="expected batch_size to be greater than or equal to 1, got 0"
    ):
        discover("eap", task, batch_size=0)
