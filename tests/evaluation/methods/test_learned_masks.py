"""Methods that learn masks, against plain computations, hand-worked values and planted circuits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from knowncircuits.cases import load_case
from knowncircuits.circuit import Label
from knowncircuits.errors import MethodError
from knowncircuits.evaluation.methods.discogp import draw_straight, schedule
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.methods.edge_pruning import rise_and_fall
from knowncircuits.evaluation.methods.gradients import mask_gradients
from knowncircuits.evaluation.methods.ibcircuit import let_through
from knowncircuits.evaluation.methods.masks import train_masks
from knowncircuits.evaluation.methods.noise import Noise
from knowncircuits.evaluation.methods.optimal_ablation import both_inputs
from knowncircuits.evaluation.methods.ugs import windowed_loss
from knowncircuits.evaluation.methods.windowed import draw_windowed, heads_and_edges
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.graph import Graph
from parts import some_long
from strategies import random_task

DOUBLE = torch.zeros(1, dtype=torch.float64)


class PlainAdam:
    """AdamW as its paper writes it, on one vector."""

    def __init__(self, size: int) -> None:
        self.first, self.second, self.n = np.zeros(size), np.zeros(size), 0

    def step(
        self, values: np.ndarray, gradient: np.ndarray, rate: np.ndarray | float, decay: float = 0.0
    ) -> np.ndarray:
        self.n += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        mean, square = self.first / (1 - 0.9**self.n), self.second / (1 - 0.999**self.n)
        return values * (1 - rate * decay) - rate * mean / (np.sqrt(square) + 1e-8)


def mask_slopes(task: Task, alternative: torch.Tensor, mask: np.ndarray) -> np.ndarray:
    """By how much the mean metric grows with every edge's mask, at one mask of all pairs."""
    pairs = torch.arange(task.n_pairs)
    found = mask_gradients(task, task.clean, alternative, torch.from_numpy(mask)[None], pairs)
    return found[0].numpy() / task.n_pairs


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class TestWindowedMasks:
    def test_values_in_below_and_above_the_window(self) -> None:
        """Around 1/2 the window is 1/4 wide: from 3/8 to 5/8."""
        uniform = torch.tensor([0.3, 0.375, 0.4375, 0.5, 0.625, 0.7], dtype=torch.float64)
        drawn = draw_windowed(torch.tensor([0.5]).double(), uniform[:, None])[:, 0]
        assert drawn.tolist() == [1.0, 1.0, 0.75, 0.5, 0.0, 0.0]

    @pytest.mark.parametrize("probability", [0.02, 0.5, 0.9])
    def test_masks_are_kept_as_far_as_their_probability_says(self, probability: float) -> None:
        uniform = torch.linspace(0, 1, 200_001, dtype=torch.float64)[:, None]
        drawn = draw_windowed(torch.tensor([probability]).double(), uniform)
        assert drawn.mean().item() == pytest.approx(probability, abs=1e-5)
        within = ((drawn > 0) & (drawn < 1)).double().mean().item()
        assert within == pytest.approx(probability * (1 - probability), abs=1e-4)

    @pytest.mark.parametrize(
        ("gate", "slopes"),
        [
            (lambda a, b: a * b, (0.8, 0.3)),  # AND
            (lambda a, b: a + b - a * b, (0.2, 0.7)),  # OR
            (lambda a, b: a + b - 2 * a * b, (-0.6, 0.4)),  # XOR
        ],
    )
    def test_gradients_at_gates(self, gate, slopes) -> None:  # type: ignore[no-untyped-def]
        """Of an output kept with probabilities .3 and .8: what it gains where one of them is 1."""
        probabilities = torch.tensor([0.3, 0.8], dtype=torch.float64, requires_grad=True)
        drawn = draw_windowed(probabilities, Noise(0, DOUBLE).uniform(100_000, 2))
        gate(drawn[:, 0], drawn[:, 1]).mean().backward()
        assert probabilities.grad is not None
        assert probabilities.grad.tolist() == pytest.approx(slopes, abs=0.01)

    def test_none_within_is_no_gradient(self) -> None:
        probabilities = torch.tensor([0.5, 1.0], dtype=torch.float64, requires_grad=True)
        drawn = draw_windowed(probabilities, torch.tensor([[0.1, 0.5]], dtype=torch.float64))
        drawn.sum().backward()
        assert drawn.tolist() == [[1.0, 1.0]]
        assert probabilities.grad is not None
        assert probabilities.grad.tolist() == [0.0, 0.0]

    def test_heads_have_the_edges_into_and_out_of_them(self) -> None:
        graph = Graph(n_layers=2, n_heads=2)
        heads = [node for node in graph.sources if node.kind == "head"]
        found = heads_and_edges(graph)
        assert found.shape == (4, graph.n_edges)
        for head, edges in zip(heads, found, strict=True):
            named = [head in (source, target.partition("<")[0]) for source, target in _ends(graph)]
            assert edges.tolist() == named


def _ends(graph: Graph) -> list[tuple[str, str]]:
    return [(edge.partition("->")[0], edge.partition("->")[2]) for edge in graph.edges]


def test_the_gradient_of_ugs_row_by_row() -> None:
    """Slopes of single runs, at rows whose mask is within, one row and one edge at a time."""
    task = random_task(n_pairs=4)
    n, n_pairs, n_masks, costs = task.graph.n_edges, 3, 5, (0.01, 0.02)
    log_odds = torch.linspace(-2, 2, n, dtype=torch.float64, requires_grad=True)
    windowed_loss(task, log_odds, Noise(7, DOUBLE), (n_pairs, n_masks), costs)(0).backward()

    noise = Noise(7, DOUBLE)
    chosen = noise.choices(4, n_pairs).repeat(n_masks)
    p = log_odds.detach().sigmoid()
    uniform = noise.uniform(n_pairs * n_masks, n)
    kept = (0.5 - (uniform - p) / (p * (1 - p))).clamp(0, 1)
    slopes = torch.zeros(len(kept), n, dtype=torch.float64)
    for row, pair in enumerate(chosen.tolist()):
        inputs = task.clean[[pair]], task.alternative[[pair]], 1 - kept[[row]]
        slopes[row] = -mask_gradients(task, *inputs, chosen[[row]])[0]
    expected = np.zeros(n)
    for edge, (source, target) in enumerate(_ends(task.graph)):
        within = [row for row in range(len(kept)) if 0 < kept[row, edge] < 1]
        if within:
            expected[edge] = np.mean([slopes[row, edge].item() for row in within])
        expected[edge] += costs[0]
        for head in {source, target.partition("<")[0]}:
            if head.startswith("a"):
                ends = [head in (s, t.partition("<")[0]) for s, t in _ends(task.graph)]
                expected[edge] += costs[1] / np.cosh(p[ends].sum().item() / 2) ** 2  # H/2 = 2
    expected *= (p * (1 - p)).numpy()
    assert log_odds.grad is not None
    assert np.allclose(log_odds.grad.numpy(), expected, atol=1e-12)
    assert (slopes != 0).any()


class TestEdgePruning:
    def test_the_learning_rate_rises_and_falls_as_published(self) -> None:
        shares = [rise_and_fall(step, 3000) for step in (0, 100, 200, 1600, 2999)]
        assert shares == pytest.approx([0, 0.5, 1, 0.5, 1 / 2800])

    def test_log_alphas_of_a_plain_computation(self) -> None:
        """AdamW, the hard-concrete slope and the multipliers' ascent, written out again."""
        task = random_task(n_pairs=3)
        rates = (3.0, 0.5)
        scores = discover(
            "edge-pruning",
            task,
            steps=80,
            sparsity=0.9,
            node_sparsity=0.5,
            learning_rate=rates[0],
            multiplier_rate=rates[1],
            seed=3,
        )
        graph, steps = task.graph, 80
        n_edges, n_nodes = graph.n_edges, len(graph.sources)
        noise = Noise(3, DOUBLE)
        masks = torch.cat([noise.normal(n_edges), noise.normal(n_nodes)]).numpy() / 100 + 10
        values = np.concatenate([masks, np.zeros(4)])  # edges, nodes, l1 and l2 of each
        adam = PlainAdam(len(values))
        for step in range(steps):
            drawn = torch.cat([noise.uniform(n_edges), noise.uniform(n_nodes)]).numpy()
            soft = sigmoid((np.log(drawn / (1 - drawn)) + values[:-4]) * 1.5)
            kept = np.clip(1.2 * soft - 0.1, 0, 1)
            slope = np.where((kept > 0) & (kept < 1), 1.8 * soft * (1 - soft), 0)
            edges, nodes = kept[:n_edges], kept[n_edges:]
            at_sources = nodes[graph.source_of_edge]
            of_metric = -mask_slopes(task, task.alternative, 1 - edges * at_sources)
            rising = min(1, step / (steps * 2500 / 3000))
            missing = np.array([1 - edges.mean() - 0.9 * rising, 1 - nodes.mean() - 0.5 * rising])
            l1, l2 = values[-4::2], values[-3::2]
            pressure = -(l1 + 2 * l2 * missing) / (n_edges, n_nodes)
            of_nodes = np.bincount(graph.source_of_edge, of_metric * edges, n_nodes)
            gradient = np.concatenate(
                [
                    (of_metric * at_sources + pressure[0]) * slope[:n_edges],
                    (of_nodes + pressure[1]) * slope[n_edges:],
                    np.stack([missing, missing**2], 1).ravel(),
                ]
            )
            gradient *= min(1, 1 / (np.linalg.norm(gradient) + 1e-6))
            gradient[-4:] *= -1  # multipliers ascend
            rate = np.where(np.arange(len(values)) < len(masks), *rates)
            values = adam.step(values, gradient, rate * rise_and_fall(step, steps), decay=0.01)
        found = np.array(list(scores.details["nodes"].values()))
        assert np.allclose(found, values[n_edges:-4], atol=1e-6)
        lesser = np.minimum(values[:n_edges], values[n_edges:-4][graph.source_of_edge])
        assert np.allclose(scores.values, lesser, atol=1e-6)
        assert scores.details["sparsity"] == pytest.approx(1 - edges.mean(), abs=1e-9)
        assert np.ptp(scores.values) > 1

    def test_the_more_sparsity_is_demanded_the_less_is_kept(self) -> None:
        task = make_task(load_case("histogram").compile(), 5)
        kept = [
            (discover("edge-pruning", task, steps=300, sparsity=sparsity).values > 0).mean()
            for sparsity in (0.3, 0.6, 1.0)
        ]
        assert (np.diff(kept) < -0.1).all(), kept


class TestDiscoGP:
    def test_masks_are_0_or_1_as_often_as_their_logit_says(self) -> None:
        logits = torch.tensor([-2.0, 0.0, 1.0], dtype=torch.float64)
        drawn = draw_straight(logits.repeat(50_000), Noise(0, DOUBLE).uniform(150_000)).view(-1, 3)
        assert set(drawn.unique().tolist()) == {0.0, 1.0}
        assert torch.allclose(drawn.mean(0), logits.sigmoid(), atol=0.01)

    def test_the_gradient_is_that_of_the_sigmoid(self) -> None:
        logits = torch.tensor([0.3, -1.0], dtype=torch.float64, requires_grad=True)
        draw_straight(logits, torch.tensor([0.5, 0.9], dtype=torch.float64)).sum().backward()
        soft = torch.sigmoid(torch.tensor([0.3, -1.0 + np.log(9)], dtype=torch.float64))
        assert logits.grad is not None
        assert torch.allclose(logits.grad, soft * (1 - soft))

    def test_the_weight_of_sparsity_rises_and_falls(self) -> None:
        found = [schedule(share, 100, 0.01) for share in (0, 0.1, 0.2, 0.3, 0.4, 1)]
        assert found == pytest.approx([1, 50.5, 100, 50.005, 0.01, 0.01])

    def test_logits_of_a_plain_computation(self) -> None:
        """What is kept against the clean answers, what is removed against the corrupted ones."""
        task, steps = random_task(n_pairs=3), 10
        scores = discover("discogp", task, steps=steps, learning_rate=0.5, seed=4)
        swapped = replace(task, clean=task.corrupted, corrupted=task.clean)
        n, noise = task.graph.n_edges, Noise(4, DOUBLE)
        logits = noise.normal(n).numpy() / 100 + 1
        adam = PlainAdam(n)
        for step in range(steps):
            gradient = schedule(step / steps, 100, 0.01) * _slope(sigmoid(logits)) / n
            for circuit in (True, False):
                uniform = noise.uniform(n).numpy()
                soft = sigmoid(logits + np.log(uniform / (1 - uniform)))
                mask = torch.from_numpy((soft > 0.5) != circuit).double()[None].requires_grad_()
                run = task.model.run(task.clean, task.alternative, mask)
                metric = (task if circuit else swapped).measure(run.logits, torch.arange(3)).mean()
                (slopes,) = torch.autograd.grad(metric, mask)
                gradient += (-1 if circuit else 1) * slopes[0].numpy() * _slope(soft)
            logits = adam.step(logits, gradient, 0.5, decay=0.01)
        assert np.allclose(scores.values, logits, atol=1e-6)

    def test_without_completeness_half_as_many_runs(self) -> None:
        task = random_task()
        both = discover("discogp", task, steps=4)
        alone = discover("discogp", task, steps=4, completeness=0)
        assert (both.forward_passes, alone.forward_passes) == (6 * (4 + 8), 6 * (2 + 4))
        assert not np.array_equal(both.values, alone.values)


def _slope(sigmoids: np.ndarray) -> np.ndarray:
    return sigmoids * (1 - sigmoids)


def test_ibcircuit_of_a_plain_computation() -> None:
    task, steps = random_task(n_pairs=3), 6
    scores = discover("ibcircuit", task, steps=steps, information=30, learning_rate=0.5, seed=4)
    n, noise = task.graph.n_edges, Noise(4, DOUBLE)
    logits = noise.normal(n).numpy() / 100 + 5
    inputs = torch.stack([*task.clean_run.outputs, *task.corrupted_run.outputs]).numpy()
    adam = PlainAdam(n)
    for _ in range(steps):
        drawn = noise.normal(*task.clean_run.outputs.shape).numpy()
        drawn = inputs.mean(0) + inputs.std(0, ddof=1) * drawn
        weight = sigmoid(logits)
        information = 2 * weight - 1 + 1 / (1 - weight)  # its slope
        gradient = 30 * information / n - mask_slopes(task, torch.from_numpy(drawn), 1 - weight)
        logits = adam.step(logits, gradient * _slope(weight), 0.5)
    assert np.allclose(scores.values, logits, atol=1e-6)


def test_information_is_a_divergence_of_normal_numbers() -> None:
    """Mean over values of a source, of what is read given the value, from noise alone."""
    values = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, deviation = values.mean(), values.std(correction=0)
    for logit in (-3.0, 0.0, 2.0):
        weight = 1 / (1 + np.exp(-logit))
        read = Normal(weight * values + (1 - weight) * mean, (1 - weight) * deviation)
        expected = kl_divergence(read, Normal(mean, deviation)).mean()
        found = let_through(torch.tensor([logit], dtype=torch.float64))
        assert found.item() == pytest.approx(expected.item(), abs=1e-12)


class TestMultiRestart:
    def test_one_restart_is_edge_sp(self) -> None:
        task = random_task()
        one = discover("multi-restart", task, restarts=1, steps=5, seed=2)
        other = discover("edge-sp", task, steps=5, seed=2)
        assert np.array_equal(one.values, other.values)
        assert one.forward_passes == other.forward_passes

    def test_what_was_found_is_kept_less_the_more_it_costs(self) -> None:
        task = make_task(load_case("histogram").compile(), 5)

        def kept(costs: torch.Tensor) -> np.ndarray:
            return train_masks(
                task,
                task.graph.n_edges,
                lambda masks: masks,
                regularisation=1.0,
                steps=30,
                learning_rate=0.05,
                seed=0,
                costs=costs.to(task.alternative),
            )

        ones = torch.ones(task.graph.n_edges)
        dear = ones.clone()
        dear[::2] = 20
        less = kept(ones) - kept(dear)
        assert (less[::2] > 0).all()
        assert less[::2].min() > np.abs(less[1::2]).max()

    def test_how_often_an_edge_was_kept(self) -> None:
        task = random_task()
        values = discover(
            "multi-restart", task, restarts=4, steps=30, learning_rate=0.1, over="frequency"
        ).values
        assert set(values.tolist()) <= {0.0, 0.25, 0.5, 0.75, 1.0}
        assert len(set(values.tolist())) > 1

    def test_only_the_two_ways_of_scoring(self) -> None:
        with pytest.raises(MethodError, match="expected over to be 'max' or 'frequency'"):
            discover("multi-restart", random_task(), over="mean")


class TestOptimalAblation:
    def test_pairs_are_seen_both_ways_round(self) -> None:
        task = random_task(n_pairs=2)
        both = both_inputs(task)
        assert both.clean.tolist() == [*task.clean.tolist(), *task.corrupted.tolist()]
        assert both.corrupted.tolist() == [*task.corrupted.tolist(), *task.clean.tolist()]
        metric = both.measure(both.clean_run.logits, torch.arange(4))
        assert torch.allclose(metric, torch.zeros(4, dtype=torch.float64))

    def test_the_ablation_of_the_task_plays_no_part(self) -> None:
        task = random_task()
        options = {"steps": 4, "pairs": 2, "constant_rate": 0.1}
        found = [
            discover("optimal-ablation", replace(task, ablation=ablation), **options).values
            for ablation in ("resample", "mean", "zero")
        ]
        assert np.array_equal(found[0], found[1])
        assert np.array_equal(found[0], found[2])
        slower = discover("optimal-ablation", task, **{**options, "constant_rate": 1e-9}).values
        assert not np.array_equal(found[0], slower)


PLANTED = {
    "ibcircuit": {"steps": 300},
    "ugs": {"steps": 300, "learning_rate": 0.05},
    "optimal-ablation": {"steps": 400},
    "edge-pruning": {"steps": 500, "multiplier_rate": 0.05},
    "multi-restart": {"steps": 150, "restarts": 2, "learning_rate": 0.05},
    "discogp": {"steps": 500},
}


@pytest.mark.parametrize("name", some_long(PLANTED, *list(PLANTED)[1:]))
def test_the_masks_of_a_planted_circuit(name: str) -> None:
    """Every true edge outranks every other determined one."""
    compiled = load_case("fraction_of_x").compile()
    scores = discover(name, make_task(compiled, 20), **PLANTED[name])
    labels = compiled.circuit.labels
    inside, outside = (scores.values[labels == label] for label in (Label.IN, Label.OUT))
    assert inside.min() > outside.max()
