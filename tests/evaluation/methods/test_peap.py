"""`peap` against differences of the metric, exact patching of a linear model, and worked values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from knowncircuits.architecture import TransformerConfig
from knowncircuits.evaluation.components import edge_effects_by_position
from knowncircuits.evaluation.methods import discover
from knowncircuits.evaluation.task import Task
from knowncircuits.transformer import Transformer
from strategies import gate_task, linear_task, random_task


@pytest.mark.parametrize(
    ("units", "effects"),
    [
        ([(1, -1, 1)], [1, 1]),  # AND: each alone turns it off
        ([(-1, 1, -1)], [0, 0]),  # OR: its unit is off
        ([(1, 0, 1), (1, -1, -1)], [0, 0]),  # saturated: 1 - 1
    ],
)
def test_gates_of_relus(units: list[tuple[float, float, float]], effects: list[int]) -> None:
    task = gate_task(units)
    found = discover("peap", task)
    flags = [task.graph.index(f"a0.h{head}->m0") for head in (0, 1)]
    assert found.by_position[flags].tolist() == [[effect] for effect in effects]
    assert found.values[flags].tolist() == effects


def two_signs() -> Task:
    """Logits read x at both positions; the right answer is for it at one, against it at the other.

    Only clean inputs have x, so that each position loses or wins 1 by the edge.
    """
    model = Transformer(TransformerConfig(1, 1, 2, 1, 0, 2, 2, 2), dtype=torch.float64)
    model.requires_grad_(False)
    model.W_E[1, 0] = 1
    model.W_pos[1, 1] = 1
    model.W_U[0, 0] = 1
    model.b_U[1] = 0.5
    clean = torch.ones(1, 2, dtype=torch.long)
    return Task("two signs", model, clean, 1 - clean, clean.bool(), "logit_diff")


def test_an_edge_at_each_position() -> None:
    """Two positions of the mean: the edge's effect is a half at each, and one in all."""
    task = two_signs()
    edge = task.graph.index("embed->logits")
    assert discover("peap", task).by_position[edge].tolist() == [0.5, 0.5]
    assert discover("peap", task).values[edge] == 1


def test_signs_cancel_in_a_sum_and_not_here() -> None:
    """A head that writes -2 of what it reads at BOS, and logits that read it: 1 - 2 at position 0.

    Along `embed->a0.h0<v>` the head hands on to both positions, along `embed->logits` x itself.
    """
    task = two_signs()
    task.model.W_QKV[0, 2, 0, 0, 0] = 1
    task.model.W_QKV[0, 0, 0, 1, 0], task.model.W_QKV[0, 1, 0, 1, 0] = -100, 100
    task.model.W_O[0, 0, 0, 0] = -1
    found = discover("peap", task)
    eap = discover("eap", task)
    assert np.allclose(np.abs(found.by_position).sum(1), found.values)
    assert np.allclose(found.by_position.sum(1), eap.values)


@pytest.mark.parametrize("metric", ["logit_diff", "kl"])
@pytest.mark.parametrize("ablation", ["resample", "mean"])
def test_slopes_are_those_of_the_metric(metric: str, ablation: str) -> None:
    """Every edge at every position moved a little, both ways, pair by pair: no gradient at all."""
    task = random_task(metric, ablation=ablation, n_pairs=3)
    n_edges, n_pos, step = task.graph.n_edges, 5, 1e-5
    clean_run, sign = metric == "logit_diff", 1.0 if metric == "logit_diff" else -1.0
    tokens = task.clean if clean_run else task.corrupted
    # From the corrupted run the difference leads the other way.
    other = task.alternative if clean_run else task.corrupted_run.outputs - task.differences
    slopes = np.empty((3, n_edges, n_pos))
    players = torch.eye(n_edges * n_pos, dtype=torch.float64).reshape(-1, n_edges, n_pos)
    with torch.no_grad():
        for pair in torch.arange(3).split(1):
            ends = []
            for way in (step, -step):
                n = len(players)
                run = task.model.run(tokens[pair].expand(n, -1), other[pair], way * players)
                ends.append(task.measure(run.logits, pair.expand(n)))
            slopes[pair] = ((ends[0] - ends[1]) / (2 * step)).reshape(n_edges, n_pos).numpy() * sign
    found = discover("peap", task, batch_size=2)
    assert np.allclose(found.by_position, slopes.mean(0), atol=1e-7)
    sizes = discover("peap", task, mean="sizes")
    assert np.allclose(sizes.by_position, np.abs(slopes).mean(0), atol=1e-7)
    assert np.allclose(found.by_position.sum(1), discover("eap", task).values, atol=1e-12)
    assert (found.forward_passes, found.backward_passes) == (6, 3)


def test_on_a_linear_model_it_is_exact_patching() -> None:
    task = linear_task("logit_diff")
    exact = edge_effects_by_position(task, "exact")
    assert np.allclose(discover("peap", task).by_position, exact, atol=1e-10)
