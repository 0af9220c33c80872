"""Neighbouring types at the public functions: they work, or an error says what to pass."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import knowncircuits as kc
from knowncircuits.checks.arguments import WAYS, advice, expect, takes
from knowncircuits.circuit import Label
from knowncircuits.errors import ArgumentError
from knowncircuits.evaluation.comparison import compare_results
from knowncircuits.evaluation.effects import realism, train_natural, wide_effects
from knowncircuits.evaluation.faithfulness import (
    completeness,
    faithfulness,
    faithfulness_table,
    greedy,
    minimality,
    top_n,
)
from knowncircuits.evaluation.figures import (
    circuit_effects_figure,
    circuit_sankey,
    effects_figure,
    effects_heatmap,
    faithfulness_figure,
    save_figure,
)
from knowncircuits.evaluation.runs import read_results
from knowncircuits.evaluation.scoring import Scores, score_curve, score_views
from knowncircuits.exchange import graph_file, read_graph_file, write_graph_file
from knowncircuits.leaderboard import (
    build_site,
    make_submission,
    rank_submissions,
    read_submissions,
    write_submission,
)
from knowncircuits.models import save_trained
from knowncircuits.models.certificates import read_certificate
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.interop import from_tracr, load_interpbench

pytestmark = pytest.mark.usefixtures("no_shape_checks")

CASE = kc.load_case("fraction_of_x")
TRAINED = kc.load_model("fraction_of_x", zoo=1)
COMPILED = TRAINED.compiled
WIRED = kc.Wired.of(COMPILED)
TASK = kc.make_task(TRAINED, n_pairs=2)
CIRCUIT = TRAINED.circuit
SCORES = kc.discover("shortness", TASK)
NEIGHBOURS: dict[str, Any] = {
    "case": CASE,
    "compiled": COMPILED,
    "trained": TRAINED,
    "wired": WIRED,
    "task": TASK,
    "circuit": CIRCUIT,
    "graph": TASK.graph,
    "scores": SCORES,
    "model": TRAINED.model,
    "correspondence": TRAINED.correspondence,
    "file": graph_file(TASK.graph),
    "program": CASE.program,
    "vocabulary": CASE.vocabulary(),
    "name": "no such name",
    "path": Path("no such path"),
    "array": SCORES.values,
    "tensor": torch.from_numpy(SCORES.values),
    "frame": pd.DataFrame({"a": [1]}),
    "dict": {"a": 1.0},
    "list": ["fraction_of_x"],
    "int": 3,
    "none": None,
}
MODELS = TRAINED.model, COMPILED, TRAINED.correspondence
MEMBERS = CIRCUIT.labels == Label.IN
FUNCTIONS: dict[str, Callable[[Any], object]] = {
    "BridgedModel": kc.BridgedModel,
    "Circuit graph": lambda x: kc.Circuit(x, CIRCUIT.labels),
    "Circuit labels": lambda x: kc.Circuit(TASK.graph, x),
    "Correspondence circuit": lambda x: kc.Correspondence.same_names(x, TASK.graph),
    "Correspondence graph": lambda x: kc.Correspondence.same_names(CIRCUIT, x),
    "Scores graph": lambda x: Scores(x, SCORES.values, "mine"),
    "Scores values": lambda x: Scores(TASK.graph, x, "mine"),
    "Task model": lambda x: kc.Task("mine", x, TASK.clean, TASK.corrupted, TASK.counts),
    "Task clean": lambda x: kc.Task("mine", TASK.model, x, TASK.corrupted, TASK.counts),
    "Transformer": kc.Transformer,
    "build_site": lambda x: None if isinstance(x, str | Path) else build_site(x, "site"),
    "causal_effects": lambda x: kc.causal_effects(x, n_inputs=3, scales=[1], nodes=["m0"]),
    "Placed model": lambda x: Placed(x, *MODELS[1:]),
    "Placed compiled": lambda x: Placed(MODELS[0], x, MODELS[2]),
    "Placed correspondence": lambda x: Placed(*MODELS[:2], x),
    "certify": lambda x: kc.certify(x, n_pairs=1, edges=[]),
    "circuit_effects_figure circuit": lambda x: circuit_effects_figure(x, pd.DataFrame()),
    "circuit_effects_figure frame": lambda x: circuit_effects_figure(CIRCUIT, x),
    "circuit_sankey": circuit_sankey,
    "circuit_sankey truth": lambda x: circuit_sankey(SCORES, x),
    "compare_results": compare_results,
    "compile_program": lambda x: kc.compile_program(x, CASE.vocabulary()),
    "compile_program vocabulary": lambda x: kc.compile_program(CASE.program, x),
    "completeness": lambda x: completeness(x, MEMBERS, n_subsets=1),
    "completeness circuit": lambda x: completeness(TASK, x, n_subsets=1),
    "discover": lambda x: kc.discover("shortness", x),
    "discover circuit": lambda x: kc.discover("truth", TASK, circuit=x),
    "effects_figure": effects_figure,
    "effects_heatmap": effects_heatmap,
    "faithfulness": lambda x: faithfulness(x, SCORES),
    "faithfulness scores": lambda x: faithfulness(TASK, x),
    "faithfulness truth": lambda x: faithfulness(TASK, SCORES, x),
    "faithfulness_figure": faithfulness_figure,
    "faithfulness_table": faithfulness_table,
    "from_tracr": from_tracr,
    "greedy": lambda x: greedy(x, 3),
    "list_cases": kc.list_cases,
    "list_models": kc.list_models,
    "load_case": kc.load_case,
    "load_interpbench": lambda x: load_interpbench(x, "no such folder"),
    "load_model": kc.load_model,
    "load_model variant": lambda x: kc.load_model("fraction_of_x", x, zoo=1),
    "load_trained": kc.load_trained,
    "make_submission": make_submission,
    "make_task": lambda x: kc.make_task(x, 1),
    "minimality": lambda x: minimality(x, MEMBERS, n_subsets=1),
    "rank_submissions": rank_submissions,
    "read_certificate": read_certificate,
    "read_graph_file": read_graph_file,
    "read_results": read_results,
    "read_submissions": read_submissions,
    "realism": lambda x: None if x is CASE or x is TRAINED else realism(x),
    "save_figure": lambda x: save_figure(x, "figure.html"),
    "save_trained": lambda x: save_trained(x, "trained"),
    "score": lambda x: kc.score(x, CIRCUIT),
    "score circuit": lambda x: kc.score(SCORES, x),
    "score_curve": lambda x: score_curve(x, CIRCUIT),
    "score_views": lambda x: score_views(x, CIRCUIT),
    "to_hooked": kc.to_hooked,
    "to_transformer_lens": kc.to_transformer_lens,
    "top_n": lambda x: top_n(x, 3),
    "train_natural": lambda x: None if x is TRAINED else train_natural(x),
    "validate": lambda x: kc.validate(x, CASE.vocabulary()),
    "wide_effects": wide_effects,
    "write_graph_file": lambda x: write_graph_file(x, "graph.json"),
    "write_submission": lambda x: write_submission(x, "submissions"),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_other_error(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for neighbour in NEIGHBOURS.values():
        with suppress(kc.KnownCircuitsError):
            FUNCTIONS[function](neighbour)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kc.discover("eap", TRAINED),  # type: ignore[arg-type]
            "expected task to be Task, got Trained; pass make_task(trained)",
        ),
        (
            lambda: kc.make_task(CASE),  # type: ignore[arg-type]
            (
                "expected subject to be Compiled or Trained or Wired or InterpBenchModel, got "
                "Case; pass case.compile() or load_model(case.name) or Wired.of(case.compile())"
            ),
        ),
        (
            lambda: kc.score(TASK, CIRCUIT),  # type: ignore[arg-type]
            "expected scores to be Scores, got Task; pass discover(method, task)",
        ),
        (
            lambda: kc.score(SCORES, TRAINED),  # type: ignore[arg-type]
            "expected circuit to be Circuit, got Trained; pass trained.circuit",
        ),
        (
            lambda: write_graph_file(TRAINED, "file"),  # type: ignore[arg-type]
            "expected file to be GraphFile or Circuit, got Trained; pass trained.circuit",
        ),
        (
            lambda: compare_results(Path("results")),  # type: ignore[arg-type]
            "expected results to be a sequence of Result, got PosixPath; pass read_results(folder)",
        ),
        (
            lambda: kc.load_case(CASE),  # type: ignore[arg-type]
            "expected name to be str, got Case; pass case.name",
        ),
        (
            lambda: completeness(TASK, SCORES.values),
            "expected a circuit of True and False, got float64; of scores pass top_n(scores, n)",
        ),
    ],
)
def test_it_says_what_to_pass(call: Callable[[], object], message: str) -> None:
    with pytest.raises(kc.KnownCircuitsError) as raised:
        call()
    assert str(raised.value).replace("WindowsPath", "PosixPath") == message


def test_what_it_says_to_pass_is_what_was_wanted() -> None:
    """Of what can be had from nothing but the value: every way of WAYS that is an expression."""
    names = {type(value).__name__: name for name, value in NEIGHBOURS.items()} | {
        "Aggregate": "program"
    }
    scope = globals() | {name: getattr(kc, name) for name in kc.__all__} | NEIGHBOURS
    scope["load_model"] = partial(kc.load_model, zoo=1)
    scope |= {
        "method": "shortness",
        "graph_file": graph_file,
        "values": NEIGHBOURS["array"],
        "n": 3,
    }
    tried = 0
    for wanted, ways in WAYS.items():
        for got, way in ways.items():
            if got in names and got not in ("str", "dict", "list") and "effects" not in way:
                made = eval(way, scope)
                mro = [base.__name__ for base in type(made).__mro__]
                assert wanted in mro or wanted == "Patchable", (wanted, got, way, mro)
                tried += 1
    assert tried > 20


def test_a_circuit_is_written_as_a_file(tmp_path: Path) -> None:
    write_graph_file(CIRCUIT, tmp_path / "circuit.json")
    assert read_graph_file(tmp_path / "circuit.json").circuit() == CIRCUIT


class TestPaths:
    """Strings serve as paths."""

    def test_models(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        save_trained(TRAINED, "folder")
        for folder in ("folder", tmp_path / "folder"):
            assert kc.load_trained(folder).certificate == TRAINED.certificate

    def test_results(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(kc.KnownCircuitsError, match="expected result files under r1"):
            read_results("r1")


class TestTakes:
    def test_arguments_by_place_and_by_name(self) -> None:
        @takes(a=int, rest=[str], option=str | None)
        def function(a: int, *rest: str, option: str | None = None) -> tuple[object, ...]:
            return (a, *rest, option)

        assert function(1) == (1, None)
        assert function(1, "x", option="y") == (1, "x", "y")
        for wrong in (lambda: function("1"), lambda: function(1, 2), lambda: function(1, option=3)):  # type: ignore[arg-type]
            with pytest.raises(ArgumentError, match="expected"):
                wrong()
        with pytest.raises(TypeError, match="missing"):
            function()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"function\(\) got an unexpected keyword argument 'b'"):
            function(1, b=2)  # type: ignore[call-arg]

    def test_sequences(self) -> None:
        expect([1, 2], [int], "numbers")
        expect((), [int], "numbers")
        for wrong in ("12", [1, "2"], 3, {1: 2}):
            with pytest.raises(ArgumentError, match="numbers to be a sequence of int, got"):
                expect(wrong, [int], "numbers")

    def test_no_advice_for_what_has_none(self) -> None:
        assert advice(np.int64(3), "Task") == ""
