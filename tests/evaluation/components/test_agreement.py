"""Agreement of gradients with patching: hand-made gates, and the numbers worked out again."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from bridges import bridged
from scipy.stats import pearsonr, spearmanr
from typer.testing import CliRunner

import knowncircuits as kc
from knowncircuits.cli import app
from knowncircuits.cli.agreement import parse_method
from knowncircuits.errors import GraphError, InputError, MethodError, UnknownNameError
from knowncircuits.evaluation.components.agreement import Agreement, agreement
from knowncircuits.evaluation.components.methods import COMPONENT_METHODS
from knowncircuits.evaluation.figures.agreement import agreement_figure
from knowncircuits.evaluation.scoring.scores import score
from knowncircuits.models.trained import Trained
from strategies import gate_task, random_task

SHARP = ("ig-layer", {"steps": 10})
GATES = {"and": [(1, -1, 1)], "or": [(-1, 1, -1)]}


@pytest.mark.parametrize("gate", GATES)
def test_gates(gate: str) -> None:
    """Effects: each 1 at the AND, each 0 at the OR, and both at once 1; jointly a half each."""
    found = agreement(gate_task(GATES[gate]), ["exact", "gradient", SHARP], "head")
    alone = 1 if gate == "and" else 0
    assert found.methods == ("exact", "gradient", "ig-layer steps=10")
    assert found.scores["exact"].tolist() == [alone, alone]
    assert found.scores["gradient"].tolist() == [alone, alone]
    assert found.scores["ig-layer steps=10"].tolist() == pytest.approx([0.5, 0.5])
    sums = found.completeness.set_index("method")
    assert sums["cut"].unique().tolist() == ["a0"]
    assert sums["effect"].tolist() == [1, 1, 1]
    assert sums["residual"].tolist() == pytest.approx([2 * alone - 1, 2 * alone - 1, 0])
    pairs = found.pairs.set_index(["method", "other"])
    assert pairs[["pearson", "spearman"]].isna().all(axis=None)  # of two that score alike
    signs = pairs.loc[("exact", "ig-layer steps=10"), "sign"]
    assert signs == alone  # of an effect of 0 there is no sign
    assert np.isnan(pairs.loc[("exact", "gradient"), "sign"]) == (gate == "or")


@pytest.mark.parametrize(("gate", "alone"), [("gate_and_3", 2), ("gate_or_3", 0)])
def test_compiled_gates_of_three_flags(gate: str, alone: float) -> None:
    """The whole effect is 2: patched one by one the flags have it each, or none; jointly a third.

    A midpoint on each side of a unit's kink errs by half a step's share of the effect.
    """
    compiled = kc.load_case(gate).compile()
    task = kc.make_task(compiled, 4, metric="logit_diff", direction="on-off")
    found = agreement(task, ["exact", ("ig-layer", {"steps": 100})], "head", truth=compiled.circuit)
    flags = found.scores.query("status == 'in'")
    assert flags["item"].tolist() == ["a1.h0", "a1.h1", "a1.h2"]
    assert flags["exact"].tolist() == pytest.approx([alone] * 3)
    assert flags["ig-layer steps=100"].tolist() == pytest.approx([2 / 3] * 3, abs=0.01)
    residual = found.completeness.query("cut == 'a1'").set_index("method")["residual"]
    assert residual["exact"] == pytest.approx(3 * alone - 2)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return kc.load_model("fraction_of_x")


@pytest.fixture(scope="module")
def of_edges(trained: Trained) -> Agreement:
    task = kc.make_task(trained, n_pairs=5)
    return agreement(task, ["exact", "eap", "random"], truth=trained.circuit, top=7)


def test_numbers_of_pairs_by_other_means(of_edges: Agreement) -> None:
    for (a, b), row in zip(
        combinations(of_edges.methods, 2), of_edges.pairs.to_dict("records"), strict=True
    ):
        x, y = of_edges.scores[a].to_numpy(), of_edges.scores[b].to_numpy()
        assert (row["method"], row["other"], row["top"]) == (a, b, 7)
        assert row["pearson"] == pytest.approx(pearsonr(x, y).statistic)
        near = [np.rint(v / np.abs(v).max() / 1e-6) for v in (x, y)]
        assert row["spearman"] == pytest.approx(spearmanr(*near).statistic)
        moved = (near[0] != 0) | (near[1] != 0)
        assert row["sign"] == np.mean(np.sign(near[0][moved]) == np.sign(near[1][moved]))
        tops = [set(np.argsort(-np.abs(v))[:7]) for v in (x, y)]
        assert row["overlap"] == len(tops[0] & tops[1]) / len(tops[0] | tops[1])
    assert of_edges.pairs["overlap"].between(0.01, 0.99).any()


def test_areas_are_those_of_the_score(of_edges: Agreement, trained: Trained) -> None:
    task = kc.make_task(trained, n_pairs=5)
    for row in of_edges.quality.to_dict("records"):
        scores = kc.discover(row["method"], task)
        wanted = score(scores, trained.circuit)
        assert row["auroc"] == wanted.auroc
        assert row["average_precision"] == wanted.average_precision
        assert row["forward_passes"] == scores.forward_passes
    status = of_edges.scores.set_index("item")["status"]
    assert status["m0->a1.h0<v>"] == "in"
    assert (status == "in").sum() == 3


@pytest.mark.parametrize("level", ["node", "head"])
def test_nodes_against_the_truth(trained: Trained, level: str) -> None:
    task = kc.make_task(trained, n_pairs=5)
    found = agreement(task, ["exact", SHARP], level, truth=trained.circuit)  # type: ignore[arg-type]
    inside = found.scores.query("status == 'in'")["item"].tolist()
    assert inside == (["a1.h0"] if level == "head" else ["embed", "m0", "a1.h0"])
    assert found.quality["auroc"].tolist() == [1, 1]
    assert found.known
    layer = found.completeness.query("method == 'ig-layer steps=10'")
    names = ["a0", "a1"] if level == "head" else ["inputs", "a0", "m0", "a1", "m1"]
    assert layer["cut"].tolist() == names
    assert layer["residual"].abs().max() < 0.01 * layer["effect"].max()


def test_neurons_and_positions_have_no_truth(trained: Trained) -> None:
    task = kc.make_task(trained, n_pairs=2)
    neurons = agreement(task, ["gradient", "ig-layer"], "neuron", truth=trained.circuit)
    assert not neurons.known
    assert neurons.quality["auroc"].isna().all()
    assert neurons.completeness["cut"].unique().tolist() == ["m0", "m1"]
    assert neurons.scores["item"].iloc[0] == "m0.n0"
    positions = agreement(task, ["exact", "ig-alone"], "position")
    assert positions.scores["item"].tolist()[:2] == ["embed@0", "embed@1"]
    assert len(positions.scores) == len(task.graph.sources) * task.clean.shape[1]


def test_all_methods_on_a_bridge() -> None:
    """Nothing is known of it: no areas, and all else is there."""
    found = agreement(bridged("GPT-2"), level="head")
    assert found.methods == tuple(COMPONENT_METHODS)
    assert set(found.scores["status"]) == {"unknown"}
    assert found.quality["auroc"].isna().all()
    assert np.isfinite(found.pairs["pearson"]).all()
    sums = found.completeness.set_index("method")["residual"].abs()
    assert sums["ig-layer"].max() < sums["gradient"].max()


@pytest.mark.usefixtures("no_shape_checks")
def test_errors() -> None:
    task = random_task("kl", n_pairs=2)
    with pytest.raises(UnknownNameError, match="level 'heads'; did you mean head"):
        agreement(task, ["exact", "gradient"], "heads")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown method of components 'eap'"):
        agreement(task, ["exact", "eap"], "head")
    with pytest.raises(MethodError, match="at least two methods to compare, got exact"):
        agreement(task, ["exact"], "head")
    with pytest.raises(MethodError, match="each method once, got 'exact' twice"):
        agreement(task, ["exact", "exact"], "head")
    with pytest.raises(MethodError, match="expected a top of at least 1, got 0"):
        agreement(task, ["exact", "gradient"], "head", top=0)
    with pytest.raises(MethodError, match="exact takes no option steps; its options: none"):
        agreement(task, [("exact", {"steps": 2}), "gradient"], "head")
    with pytest.raises(MethodError, match="steps to be greater than or equal to 1, got 0"):
        agreement(task, [("ig-alone", {"steps": 0}), "gradient"], "head")
    other = kc.load_case("fraction_of_x").compile().circuit
    with pytest.raises(GraphError, match="expected a truth of 2 layers"):
        agreement(task, ["exact", "gradient"], "head", truth=other)
    with pytest.raises(InputError, match="expected a method like"):
        parse_method(" ")


def test_the_figure(of_edges: Agreement) -> None:
    figure = agreement_figure(of_edges, against="eap", theme="colourblind")
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert {trace.name for trace in points} == {
        f"{words} ({n})"
        for words, n in (
            ("in the circuit", 3),
            ("outside", int((of_edges.scores["status"] == "out").sum())),
            ("undetermined", int((of_edges.scores["status"] == "undetermined").sum())),
        )
    }
    inside = next(trace for trace in points if trace.name.startswith("in the"))
    rows = of_edges.scores.query("status == 'in'")
    assert list(inside.x) == rows["eap"].tolist()
    assert list(inside.y) == rows["exact"].tolist()
    headings = [a.text for a in figure.layout.annotations]
    assert headings[0].startswith("<b>exact</b>: r = ")
    assert headings[0].endswith("AUROC 1.00")
    with pytest.raises(UnknownNameError, match="unknown method 'exat'; did you mean exact"):
        agreement_figure(of_edges, against="exat")
    unknown = agreement_figure(agreement(gate_task(GATES["or"]), ["exact", "gradient"], "head"))
    assert not unknown.layout.showlegend
    assert unknown.layout.annotations[0].text == "<b>gradient</b>: r = –, ρ = –"


def test_the_command(tmp_path: Path) -> None:
    chosen = ["agreement", "fraction_of_x", "--pairs", "3", "--level", "head"]
    methods = ["-m", "exact", "-m", "ig-layer steps=3 rule=gauss"]
    target = tmp_path / "heads.csv"
    done = CliRunner().invoke(app, [*chosen, *methods, "--save", str(target)])
    assert done.exit_code == 0, done.output
    assert "ig-layer steps=3 rule=gauss" in done.output
    assert "AUROC" in done.output
    assert target.read_text().startswith("item,status,exact,ig-layer steps=3 rule=gauss\na0.h0,")
    done = CliRunner().invoke(app, [*chosen, *methods, "--format", "json"])
    assert set(json.loads(done.output)) == {"scores", "pairs", "quality", "completeness"}
    for wrong in (["-m", "exact"], ["-m", "exact", "-m", "eap"], ["-m", "exact", "-m", ""]):
        assert CliRunner().invoke(app, [*chosen, *wrong]).exit_code != 0
