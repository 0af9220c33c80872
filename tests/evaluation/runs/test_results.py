"""Methods of one's own: what they may return, how they are found, and what is refused."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from knowncircuits.cases import load_case
from knowncircuits.errors import GraphError, MethodError, ResultError, UnknownNameError
from knowncircuits.evaluation.methods import Attribution, Method, discovery
from knowncircuits.evaluation.methods.discovery import (
    describe_methods,
    discover,
    load_method,
    methods,
)
from knowncircuits.evaluation.methods.eap import eap
from knowncircuits.evaluation.methods.nodes import spread, sum_by_source
from knowncircuits.evaluation.scoring.scores import Scores, score
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.exchange import graph_file, read_graph_file, write_graph_file
from knowncircuits.graph import Graph
from knowncircuits.models.zoo import load_model


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task(load_case("histogram").compile(), 5)


def test_every_form_of_scores_of_edges(task: Task, tmp_path: Path) -> None:
    graph = task.graph
    values = np.random.default_rng(0).normal(size=graph.n_edges)
    file = graph_file(graph, scores=values)
    write_graph_file(file, tmp_path / "scores.json")
    forms = [
        values,
        values.tolist(),
        torch.from_numpy(values).requires_grad_(),
        dict(zip(graph.edges, values, strict=True)),
        {edge: torch.tensor(value) for edge, value in zip(graph.edges, values, strict=True)},
        file,
        dict(file.document),
        tmp_path / "scores.json",
        str(tmp_path / "scores.json"),
        Attribution(values),
    ]
    for form in forms:
        assert np.allclose(discover(lambda task, form=form: form, task).values, values)


def test_names_are_read_in_any_order() -> None:
    """A Series that was sorted by size once scored .454, read by position, where a dict has 1."""
    trained = load_model("fraction_of_x", zoo=1)
    task = make_task(trained, 50)
    values = discover("exact", task).values
    ordered = pd.Series(values, index=list(task.graph.edges)).sort_values(ascending=False)
    by_position = Scores(task.graph, ordered.to_numpy(), "exact")
    wrong = score(by_position, trained.circuit, resolution=0).auroc
    assert wrong == pytest.approx(0.454, abs=5e-4)
    frame = ordered.rename("score").rename_axis("edge").reset_index()
    forms = [
        ordered.to_dict(),
        ordered,
        ordered.to_frame("score"),
        frame,
        frame.assign(rank=range(len(frame))),
        MappingProxyType(ordered.to_dict()),
    ]
    for form in forms:
        scores = discover(lambda task, form=form: form, task)
        assert np.array_equal(scores.values, values)
        assert score(scores, trained.circuit).auroc == 1.0
    numbered = pd.Series(values)  # by pandas: an order, no names
    assert np.array_equal(discover(lambda task: numbered, task).values, values)


@pytest.mark.usefixtures("no_shape_checks")
def test_names_are_read_wherever_scores_are(task: Task) -> None:
    values = np.random.default_rng(0).normal(size=task.graph.n_edges)
    ordered: Any = pd.Series(values, index=list(task.graph.edges)).sort_values()
    assert np.array_equal(Scores(task.graph, ordered, "test").values, values)
    assert np.array_equal(graph_file(task.graph, scores=ordered).scores, values)
    nodes = pd.Series({"m0": 2.0, "embed": 5.0, "a0.h0": 3.0, "pos": 0.0})
    by_name = discover(lambda task: nodes.to_dict(), task).values
    assert np.array_equal(discover(lambda task: nodes, task).values, by_name)


def test_named_data_that_cannot_be_read(task: Task) -> None:
    edges = list(task.graph.edges)
    series = pd.Series(np.arange(13.0), index=edges)
    wrong: list[tuple[object, str]] = [
        (pd.Series(np.arange(13.0)).sort_values(ascending=False), "13 unknown nodes: 12, 11, 10"),
        (pd.concat([series, series[:1]]), f"every name once .*, got '{edges[0]}' several times"),
        (series[1:], "1 missing edges"),
        (pd.DataFrame({"a": 1.0, "b": 2.0}, index=edges), "a column `score` .*, got the columns a"),
        (SimpleNamespace(coords={}, values=[1.0] * 13), "as a dict or a Series, got a SimpleNames"),
    ]
    for result, message in wrong:
        with pytest.raises(GraphError, match=message):
            discover(lambda task, result=result: result, task)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int64])
def test_tensors_of_every_dtype(dtype: torch.dtype, task: Task) -> None:
    values = torch.arange(task.graph.n_edges).to(dtype)
    if dtype.is_floating_point:
        values.requires_grad_()
    named = dict(zip(task.graph.edges, values, strict=True))
    for form in (values, list(values), named, pd.Series(named)):
        found = discover(lambda task, form=form: form, task).values
        assert found.tolist() == list(range(task.graph.n_edges))
    given: Any = values
    assert Scores(task.graph, given, "test").values.tolist() == found.tolist()


def test_truth_returned_by_a_method_scores_one(task: Task) -> None:
    circuit = load_case("histogram").compile().circuit

    def truth(task: Task) -> dict[str, float]:
        return {edge: float(edge in circuit.edges()) for edge in task.graph.edges}

    scores = discover(truth, task)
    assert scores.method == "truth"
    assert score(scores, circuit).auroc == 1.0
    assert scores.top(2) == [("embed->a0.h0<q>", 1.0), ("embed->a0.h0<k>", 1.0)]


def test_merged_inputs_stand_for_both(task: Task) -> None:
    """EAP-IG's own files have one node `input`."""
    merged = task.graph.merge_inputs()
    values = np.arange(merged.n_edges, dtype=float)
    found = discover(lambda task: dict(graph_file(merged, scores=values).document), task).values
    for edge, value in zip(task.graph.edges, found, strict=True):
        source, _, destination = edge.partition("->")
        source = "input" if source in ("embed", "pos") else source
        assert value == values[merged.index(f"{source}->{destination}")]
    nodes = {"input": 3.0, "a0.h0": 2.0, "m0": 1.0}
    apart = {"embed": 3.0, "pos": 3.0, "a0.h0": 2.0, "m0": 1.0}
    first, second = (discover(lambda task, n=n: n, task).values for n in (nodes, apart))
    assert np.array_equal(first, second)


def test_scores_of_nodes_are_spread() -> None:
    graph = Graph(n_layers=1, n_heads=2)
    nodes = {"embed": 5.0, "pos": 0.0, "a0.h0": -3.0, "a0.h1": 1.0, "m0": 2.0}
    found = dict(zip(graph.edges, spread(graph, nodes), strict=True))
    assert found["embed->a0.h0<q>"] == found["embed->a0.h0<v>"] == -3
    assert found["pos->m0"] == 0
    assert found["a0.h0->m0"] == 2
    assert found["a0.h0->logits"] == -3
    assert found["embed->logits"] == 5
    signed = dict(zip(graph.edges, spread(graph, nodes, "signed"), strict=True))
    assert signed["a0.h0->m0"] == -3
    assert signed["embed->a0.h1<k>"] == 1
    with_logits = dict(zip(graph.edges, spread(graph, {**nodes, "logits": 1.5}), strict=True))
    assert with_logits["embed->logits"] == 1.5
    sums = sum_by_source(graph, np.ones(graph.n_edges))
    assert sums == {"embed": 8, "pos": 8, "a0.h0": 2, "a0.h1": 2, "m0": 1}


def test_results_that_cannot_be_used(task: Task) -> None:
    n, edges = task.graph.n_edges, dict.fromkeys(task.graph.edges, 1.0)
    nodes = dict.fromkeys(task.graph.sources, 1.0)
    wrong: list[tuple[object, type[Exception], str]] = [
        (np.zeros(3), GraphError, r"expected scores of .* of shape \[13\], got \[3\]"),
        (np.full(n, np.nan), GraphError, "NaN or infinity at embed->a0.h0<q>"),
        ({**edges, "m0->logits": np.inf}, GraphError, "NaN or infinity at m0->logits"),
        ({**edges, "m7->logits": 1.0}, GraphError, "1 unknown edges .*: m7->logits"),
        ({"m0->logits": 1.0}, GraphError, "12 missing edges .*: embed->a0.h0<q>, "),
        ({**nodes, "m7": 1.0}, GraphError, "1 unknown nodes: m7"),
        ({"m0": 1.0}, GraphError, "3 missing nodes: embed, pos, a0.h0"),
        ({**nodes, "m0": np.nan}, GraphError, "1 NaN or infinite nodes: m0"),
        ({**edges, "m0": 1.0}, GraphError, "1 unknown edges .*: m0"),
        ({**edges, "m0->logits": "high"}, ResultError, "to give m0->logits a number, got 'high'"),
        ({}, GraphError, "13 missing edges"),
        ("high", ResultError, "scores or a file of them, got 'high'"),
        (object(), ResultError, "a vector, a dict of numbers or a graph file, got object"),
        (np.full(n, 1j), ResultError, "a vector, a dict of numbers or a graph file, got ndarray"),
        (torch.full((n,), 1j), ResultError, "a vector, a dict of numbers .*, got Tensor"),
        ({1.0, 2.0}, ResultError, "a vector, a dict of numbers or a graph file, got set"),
        ({"cfg": 1, "nodes": {}, "edges": {}}, ResultError, "the result of the_method: expected"),
    ]
    for result, error, message in wrong:

        def the_method(task: Task, result: object = result) -> object:
            return result

        with pytest.raises(error, match=message):
            discover(the_method, task)


def test_how_scores_rank_is_the_methods_to_say(task: Task) -> None:
    values = -np.arange(task.graph.n_edges, dtype=float)
    plain, signed = (
        discover(m, task) for m in (lambda t: values, Method(lambda t: values, rank_by="signed"))
    )
    assert plain.ranking.argmax() == task.graph.n_edges - 1
    assert signed.ranking.argmax() == 0


def test_options_of_ones_own(task: Task) -> None:
    n = task.graph.n_edges

    def needs(task: Task, size: float, *, power: int = 2) -> np.ndarray:
        return np.full(n, size**power)

    assert discover(needs, task, size=3).options == {"size": 3, "power": 2}
    with pytest.raises(MethodError, match="needs needs a value for its option size"):
        discover(needs, task)
    with pytest.raises(MethodError, match="needs takes no option sizes; its options: size, power"):
        discover(needs, task, sizes=3)
    free = discover(lambda task, **options: np.full(n, options["size"]), task, size=4)
    assert free.options == {"size": 4}
    assert free.values.tolist() == [4] * n


def test_a_method_in_a_module(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_method.py").write_text(
        "class Methods:\n"
        "    @staticmethod\n"
        "    def ones(task):\n"
        "        return [1.0] * task.graph.n_edges\n"
        "number = 3\n"
    )
    (tmp_path / "own_broken.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    scores = discover("own_method:Methods.ones", task)
    assert scores.method == "own_method:Methods.ones"
    assert scores.values.sum() == task.graph.n_edges
    for name, message in {
        "own_method:twos": "cannot load method own_method:twos: .* has no twos",
        "own_method:number": "expected own_method:number to be a function of a task, got 3",
        "own_methods:ones": "own_methods:ones: ModuleNotFoundError: .* 'own_methods'",
        "own_broken:f": "cannot load method own_broken:f: SyntaxError: invalid syntax",
        ":f": "cannot load method :f: ValueError: expected MODULE:NAME or FILE.py:NAME",
    }.items():
        with pytest.raises(MethodError, match=message):
            load_method(name)
    with pytest.raises(UnknownNameError, match="did you mean eap"):
        load_method("eapp")
    sys.modules.pop("own_method", None)


def test_a_method_that_a_package_adds(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the entry point group `knowncircuits.methods`."""
    own = EntryPoint("eap-again", "knowncircuits.evaluation.methods.eap:eap", discovery.GROUP)
    missing = EntryPoint("by-magic", "no_such_package:magic", discovery.GROUP)
    monkeypatch.setattr(discovery, "entry_points", EntryPoints([own, missing]).select)
    assert {"eap-again", "by-magic", "eap", "truth"} <= set(methods())
    first, second = (discover(name, task, batch_size=3) for name in ("eap-again", "eap"))
    assert np.array_equal(first.values, second.values)
    assert first.method == "eap-again"
    with pytest.raises(MethodError, match="load method by-magic: ModuleNotFoundError: No module"):
        load_method("by-magic")
    monkeypatch.setattr(discovery, "entry_points", EntryPoints([own]).select)
    assert describe_methods()[-1] == ("eap-again", Method(eap), "added")


def test_what_a_method_says_is_kept_in_the_file(task: Task, tmp_path: Path) -> None:
    scores = discover("acdc", task, thresholds=[0.1])
    file = graph_file(scores.graph, scores=scores.values, details=dict(scores.details))
    write_graph_file(file, tmp_path / "scores.json")
    read = read_graph_file(tmp_path / "scores.json").document["details"]
    assert read == json.loads(json.dumps(scores.details))
