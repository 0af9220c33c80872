"""Head importance and the length of activations, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.task import Task
from strategies import random_task

STEP = 1e-5  # of finite differences


def derivative(task: Task, edges: list[str]) -> np.ndarray:
    """Of each pair's metric, by how far all these edges together read the alternative."""
    pairs = torch.arange(task.n_pairs)
    ends = []
    for step in (STEP, -STEP):
        mask = torch.zeros(task.n_pairs, task.graph.n_edges, dtype=torch.float64)
        mask[:, [task.graph.index(edge) for edge in edges]] = step
        with torch.no_grad():
            logits = task.model.run(task.clean, task.alternative, mask).logits
        ends.append(task.measure(logits, pairs).numpy())
    return (ends[0] - ends[1]) / (2 * STEP)


@pytest.mark.parametrize("by_layer", [True, False])
@pytest.mark.parametrize("ablation", ["resample", "zero"])
def test_importances_are_derivatives_of_heads_and_mlps(ablation: str, by_layer: bool) -> None:
    task = random_task("label_loss", ablation=ablation)
    edges = task.graph.edges
    sizes: dict[str, float] = {}
    for name in task.graph.destinations[:-1]:
        ends = (f"{name}->", None) if name.startswith("m") else (None, f"->{name}")
        own = [
            edge
            for edge in edges
            if (ends[0] and edge.startswith(ends[0])) or (ends[1] and edge.endswith(ends[1]))
        ]
        sizes[name] = np.abs(derivative(task, own)).mean()
    groups = {name: name[1] if by_layer else "" for name in sizes}  # a1.h0<q> and m1 are of layer 1
    norms = {
        group: sum(sizes[n] ** 2 for n in sizes if groups[n] == group) ** 0.5
        for group in groups.values()
    }
    scores = {name: size / norms[groups[name]] for name, size in sizes.items()}
    wanted = []
    for edge in edges:
        source, _, destination = edge.partition("->")
        written = [v for k, v in scores.items() if k == source or k.startswith(f"{source}<")]
        wanted.append(min(max(written, default=1), scores.get(destination, 1)))
    found = kc.discover("hisp", task, by_layer=by_layer, batch_size=4)
    assert np.allclose(found.values, wanted, atol=1e-7)
    assert found.details["at"] == "clean"
    assert found.rank_by == "signed"
    assert (found.forward_passes, found.backward_passes) == (12, 6)


def test_pairs_do_not_cancel() -> None:
    """Sizes are taken pair by pair, where `nap` takes that of the mean."""
    task = random_task("label_loss")
    nodes = kc.discover("nap", task).details["nodes"]
    importances = kc.discover("hisp", task, by_layer=False).details["importances"]
    ratios = [importances[f"m{layer}"] / abs(nodes[f"m{layer}"]) for layer in range(2)]
    assert abs(ratios[0] / ratios[1] - 1) > 0.05


def test_importances_of_a_divergence_are_taken_at_the_corrupted_run() -> None:
    task = random_task("kl")
    assert kc.discover("hisp", task).details["at"] == "corrupted"
    with pytest.raises(MethodError, match="gradients_at='corrupted' with kl"):
        kc.discover("hisp", task, gradients_at="clean")


@pytest.mark.parametrize("of", ["difference", "activation"])
def test_activation_is_the_mean_length_of_what_is_written(of: str) -> None:
    task = random_task(ablation="mean")
    found = kc.discover("activation", task, of=of)
    for edge, value in zip(task.graph.edges, found.values, strict=True):
        source = task.graph.sources.index(edge.partition("->")[0])
        lengths = []
        for pair in range(task.n_pairs):
            for position in range(task.clean.shape[1]):
                carried = task.clean_run.outputs[pair, source, position]
                if of == "difference":
                    carried = task.alternative[pair, source, position] - carried
                lengths.append(sum(x**2 for x in carried.tolist()) ** 0.5)
        assert value == pytest.approx(np.mean(lengths), abs=1e-12)
    assert (found.forward_passes, found.backward_passes) == (12, 0)
