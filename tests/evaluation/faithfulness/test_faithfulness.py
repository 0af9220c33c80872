"""Faithfulness, completeness, minimality: against hooks, plain loops and known circuits."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import numpy as np
import pytest
import torch

from knowncircuits.cases import load_case
from knowncircuits.circuit import circuit_from_edges
from knowncircuits.errors import GraphError, TaskError, UnknownNameError
from knowncircuits.evaluation.choices import Ablation
from knowncircuits.evaluation.faithfulness.circuits import (
    circuit_distances,
    circuit_faithfulness,
    true_circuit,
)
from knowncircuits.evaluation.faithfulness.completeness import (
    completeness,
    draw_subsets,
    minimality,
)
from knowncircuits.evaluation.faithfulness.construction import greedy, prune, top_n
from knowncircuits.evaluation.faithfulness.growth import area, edge_counts, faithfulness
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.evaluation.task import ABLATIONS, Task, make_task
from knowncircuits.graph import Graph
from knowncircuits.models.interop.hooked import HookedTwin
from knowncircuits.models.zoo import load_model
from strategies import random_task


def circuits_of(graph: Graph, n: int = 4, seed: int = 0) -> np.ndarray:
    """Random circuits of all densities, with none and all edges at the ends."""
    rng = np.random.default_rng(seed)
    density = np.linspace(0, 1.001, n)
    return rng.random((n, graph.n_edges)) < density[:, None]


@cache
def twin(task: Task) -> HookedTwin:
    return task.to_hooked()


def hooked_logits(task: Task, circuit: np.ndarray, pair: int) -> torch.Tensor:
    """One run through hooks, all edges outside the circuit patched."""
    mask = torch.from_numpy(~circuit)[None].to(task.alternative)
    alternative = task.alternative[pair : pair + 1]
    with torch.no_grad():
        return twin(task).run(task.clean[pair : pair + 1], alternative, mask).logits[0]


def quantity(task: Task, logits: torch.Tensor, pair: int) -> float:
    """What a metric is about, m, large where the model does well, straight from its name."""
    clean, corrupted = task.clean_run.logits[pair], task.corrupted_run.logits[pair]
    values = []
    for t in task.counts[pair].nonzero().flatten().tolist():
        right, wrong = int(clean[t].argmax()), int(corrupted[t].argmax())
        p, q = clean[t].softmax(-1), logits[t].softmax(-1)
        m = {
            "kl": -(p * (p / q).log()).sum(),
            "l2": -((logits[t] - clean[t]) ** 2).sum(),
            "logit_diff": logits[t, right] - logits[t, wrong],
            "prob_diff": q[right] - q[wrong],
            "label_loss": q[right].log(),
        }
        values.append(float(m[task.metric]))
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("metric", "ablation"),
    [*((metric, "resample") for metric in ("kl", "l2", "prob_diff", "label_loss"))]
    + [("logit_diff", ablation) for ablation in ABLATIONS],
)
def test_faithfulness_is_the_published_ratio(metric: str, ablation: Ablation) -> None:
    task = random_task(metric, ablation=ablation, n_pairs=3)
    circuits = circuits_of(task.graph)
    m = [
        np.mean([quantity(task, hooked_logits(task, circuit, i), i) for i in range(3)])
        for circuit in circuits
    ]
    nothing, model = m[0], m[-1]
    expected = [(x - nothing) / (model - nothing) for x in m]
    for batch_size in (1, 5, 1024):
        found = circuit_faithfulness(task, circuits, batch_size=batch_size)
        assert found == pytest.approx(expected, abs=1e-9)
    assert (found[0], found[-1]) == (0, 1)  # exactly


def test_equal_circuits_are_run_once_and_the_whole_model_never() -> None:
    task = random_task()
    circuits = circuits_of(task.graph)[[3, 1, 1, 2, 1, 3]]
    rows = []

    class Counting:
        graph = task.graph

        def run(self, tokens: torch.Tensor, *rest: torch.Tensor) -> object:
            rows.append(len(tokens))
            return task.model.run(tokens, *rest)

    counting = dataclasses.replace(task, model=Counting())
    _ = counting.clean_run, counting.corrupted_run
    rows.clear()
    found = circuit_distances(counting, circuits)
    assert sum(rows) == 2 * task.n_pairs
    assert np.array_equal(found, circuit_distances(task, circuits))
    assert found[0] == found[5] == 0


@pytest.mark.parametrize("case", ["fraction_of_x", "histogram", "zero_duplicates"])
def test_the_true_circuit_of_a_certified_model_is_faithful(case: str) -> None:
    trained = load_model(case, zoo=1)
    for ablation in ("resample", "mean"):
        task = make_task(trained, 50, ablation=ablation)
        scores = discover("truth", task, circuit=trained.circuit)
        found = faithfulness(task, scores, trained.circuit)
        assert found.true_f == pytest.approx(1, abs=1e-3)
        assert found.true_size == len(trained.circuit.edges())
        assert found.f[0] == 0  # no edges
        assert found.f[-1] == 1
        enough = [f for f, n in zip(found.f, found.nominal, strict=True) if n >= found.true_size]
        assert min(enough) == pytest.approx(1, abs=1e-3)


def test_areas_by_the_trapezoidal_rule() -> None:
    assert area([0.1, 0.5, 1], [0, 1, 1]) == pytest.approx(0.2 + 0.5)
    assert area([0.001, 1], [1, 1]) == pytest.approx(0.999)
    assert area([0.25, 0.25, 1], [0, 1, 1]) == pytest.approx(0.75)  # a step of no width
    task = random_task()
    found = faithfulness(task, Scores(task.graph, circuits_of(task.graph)[1] * 1.0, "mine"))
    x, f = np.array(found.shares), np.array(found.f)
    grid = np.linspace(x[0], 1, 200_001)
    fine = np.interp(grid, x, f)
    assert found.cpr == pytest.approx(fine.mean() * (1 - x[0]), abs=1e-4)
    apart = np.interp(grid, x, np.abs(1 - f))
    assert found.cmd == pytest.approx(apart.mean() * (1 - x[0]), abs=1e-4)


def test_sizes_are_rounded_down() -> None:
    assert edge_counts(137, (0.001, 0.01, 0.02, 0.5, 1)) == [0, 1, 2, 68, 137]
    assert edge_counts(100, (0.29, 0.58)) == [29, 58]  # which are 28.999... and 57.999...


@pytest.mark.parametrize("construction", ["top-n", "greedy"])
def test_conventions_are_in_the_result(construction: str) -> None:
    task = make_task(load_case("histogram").compile(), 20)
    values = np.random.default_rng(0).normal(size=task.graph.n_edges)
    scores = Scores(task.graph, values, "mine")
    build = {"top-n": top_n, "greedy": greedy}[construction]
    for rank_by in ("absolute", "signed"):
        nominal = faithfulness(task, scores, construction=construction, rank_by=rank_by)
        circuits = [build(scores, n, rank_by=rank_by, pruned=True) for n in nominal.nominal]
        assert nominal.actual == tuple(int(circuit.sum()) for circuit in circuits)
        assert nominal.f == pytest.approx(circuit_faithfulness(task, np.array(circuits)), abs=1e-6)
        assert (nominal.construction, nominal.rank_by) == (construction, rank_by)
        actual = faithfulness(
            task, scores, construction=construction, rank_by=rank_by, size_by="actual"
        )
        assert actual.f == nominal.f
        assert actual.axis == tuple(n / task.graph.n_edges for n in nominal.actual)
        assert actual.cpr == pytest.approx(area(actual.axis, actual.f))
        # A resampled node without edges writes what it wrote there anyway.
        whole = faithfulness(task, scores, construction=construction, rank_by=rank_by, pruned=False)
        assert whole.actual == whole.nominal
        assert whole.f == pytest.approx(nominal.f, abs=1e-5)


def test_results_as_json_and_as_frames() -> None:
    trained = load_model("fraction_of_x", zoo=1)
    task = make_task(trained, 10)
    scores = discover("eap", task)
    found = faithfulness(task, scores, trained.circuit, size_by="actual")
    kept = json.loads(json.dumps(found.to_dict()))
    assert (kept["cpr"], kept["cmd"]) == (found.cpr, found.cmd)
    assert kept["f"] == list(found.f)
    frame = found.to_frame()
    assert frame["f"].tolist() == list(found.f)
    assert frame["axis"].tolist() == list(found.axis)
    assert set(frame["construction"]) == {"top-n"}
    assert frame["share"].tolist() == list(found.shares)
    for measure in (completeness, minimality):
        json.dumps(measure(task, true_circuit(trained.circuit), trained.circuit).to_dict())


def plain_f(task: Task, edges: set[int]) -> float:
    """One circuit and one pair at a time, through hooks."""
    circuit = np.isin(np.arange(task.graph.n_edges), list(edges))

    def distance(members: np.ndarray) -> float:
        runs = [hooked_logits(task, members, i) for i in range(task.n_pairs)]
        values = [task.measure(r[None], torch.tensor([i])).item() for i, r in enumerate(runs)]
        return sum(values) / len(values)

    return 1 - distance(circuit) / distance(np.zeros_like(circuit))


def test_completeness_and_minimality_in_plain_loops() -> None:
    task = random_task(n_pairs=2)
    circuit = np.zeros(task.graph.n_edges, dtype=bool)
    places = {3, 20, 30, task.graph.n_edges - 1, task.graph.n_edges - 3}
    circuit[list(places)] = True
    found = completeness(task, circuit, n_subsets=4, seed=1)
    subsets = [set(np.flatnonzero(s).tolist()) for s in draw_subsets(circuit, 4, 1)[0]]
    everything = set(range(task.graph.n_edges))
    apart = [
        abs(plain_f(task, places - k) - plain_f(task, everything - k)) for k in (*subsets, places)
    ]
    assert found.worst == pytest.approx(max(apart))
    assert found.mean == pytest.approx(np.mean(apart[:-1]))
    assert found.without_circuit == pytest.approx(apart[-1])
    assert (found.n_subsets, found.enumerated, found.size) == (4, False, 5)
    least = minimality(task, circuit, n_subsets=3, seed=1)
    tried = [set(), *(set(np.flatnonzero(s).tolist()) for s in draw_subsets(circuit, 3, 1)[0][1:])]
    for v in places:
        changes = [
            abs(plain_f(task, places - k - {v}) - plain_f(task, places - (k - {v}))) for k in tried
        ]
        assert least.edges[task.graph.edges[v]] == pytest.approx(max(changes))
    assert least.least == min(least.edges.values())


def test_a_needless_and_a_missing_edge_show() -> None:
    trained = load_model("fraction_of_x", zoo=1)
    task, truth = make_task(trained, 50), trained.circuit
    right = true_circuit(truth)
    whole = completeness(task, right, truth)
    assert whole.enumerated
    assert whole.worst < 0.05
    assert whole == dataclasses.replace(whole.truth, truth=whole.truth)  # type: ignore[type-var]
    every = minimality(task, right)
    assert every.least == pytest.approx(1, abs=0.01)
    assert every.needless() == ()
    extra = right | circuit_mask(task.graph, "embed->a0.h0<q>")
    assert minimality(task, extra).needless() == ("embed->a0.h0<q>",)
    missing = right & ~circuit_mask(task.graph, "embed->m0")
    broken = completeness(task, missing, truth)
    assert broken.worst == pytest.approx(1, abs=0.01)
    assert broken.truth == whole.truth


def circuit_mask(graph: Graph, *edges: str) -> np.ndarray:
    return true_circuit(circuit_from_edges(graph, edges))


def test_subsets_are_all_where_they_are_few_and_seeded_elsewhere() -> None:
    circuit = np.array([True, False, True, True])
    subsets, enumerated = draw_subsets(circuit, 8, 0)
    assert enumerated
    assert len({s.tobytes() for s in subsets}) == 8
    assert not subsets[0].any()
    assert not subsets[:, 1].any()
    drawn, enumerated = draw_subsets(circuit, 7, 3)
    assert not enumerated
    assert not (drawn & ~circuit).any()
    assert np.array_equal(drawn, draw_subsets(circuit, 7, 3)[0])
    assert not np.array_equal(
        draw_subsets(np.ones(30, bool), 7, 3)[0], draw_subsets(np.ones(30, bool), 7, 4)[0]
    )


def test_no_edges_at_all() -> None:
    task = random_task()
    nothing = np.zeros(task.graph.n_edges, dtype=bool)
    assert completeness(task, nothing).worst == 1
    assert minimality(task, nothing).least is None
    assert not prune(task.graph, nothing).any()


@pytest.mark.usefixtures("no_shape_checks")
def test_what_is_refused() -> None:
    task = random_task()
    n = task.graph.n_edges
    scores = Scores(task.graph, np.zeros(n), "even")
    with pytest.raises(GraphError, match=rf"circuits of shape \[circuit, {n}\], got \[2, 3\]"):
        circuit_distances(task, np.ones((2, 3), dtype=bool))
    same = dataclasses.replace(task, metric="logit_diff")
    vars(same)["corrupted_run"] = same.clean_run  # so that right and wrong are one answer
    with pytest.raises(TaskError, match="expected a logit_diff above 0 with every edge of random"):
        faithfulness(same, scores)
    other = Graph(1, 2)
    with pytest.raises(GraphError, match="expected a graph of 2 layers, 2 heads.* got 1 layer"):
        faithfulness(task, Scores(other, np.zeros(other.n_edges), "even"))
    with pytest.raises(UnknownNameError, match="unknown size 'nominel'; did you mean nominal"):
        faithfulness(task, scores, size_by="nominel")  # type: ignore[arg-type]
    for shares in ((), (0.0, 1.0), (0.5, 0.5), (0.5, 1.5)):
        with pytest.raises(GraphError, match="expected shares that grow from above 0 to at most 1"):
            faithfulness(task, scores, shares=shares)
    for measure in (completeness, minimality):
        with pytest.raises(GraphError, match=rf"a circuit of shape \[{n}\], got \[3\]"):
            measure(task, np.ones(3, dtype=bool))
        with pytest.raises(GraphError, match="expected a graph of 2 layers, 2 heads"):
            measure(task, np.ones(n, dtype=bool), circuit_from_edges(other, []))
        with pytest.raises(GraphError, match="at least one subset, got 0"):
            measure(task, np.ones(n, dtype=bool), n_subsets=0)
