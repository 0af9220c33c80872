"""Scores at positions: what methods return, how they are scored, and files that keep them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

import knowncircuits as kc
from knowncircuits.circuit import Label
from knowncircuits.cli.app import app
from knowncircuits.errors import GraphError, ResultError
from knowncircuits.evaluation.components import edge_effects_by_position
from knowncircuits.evaluation.figures import circuit_sankey
from knowncircuits.evaluation.methods import Method
from knowncircuits.evaluation.runs import Settings, read_results, run
from knowncircuits.evaluation.scoring import Scores, score_positions
from knowncircuits.evaluation.scoring.stored import read_scores
from knowncircuits.exchange import graph_file, parse_graph, read_graph_file, write_graph_file
from knowncircuits.graph import Graph
from strategies import random_task

GRAPH = Graph(n_layers=1, n_heads=1)
DRAWN = np.random.default_rng(0).normal(size=(GRAPH.n_edges, 4))


def test_a_method_may_return_scores_at_positions() -> None:
    task = random_task(n_pairs=2)
    drawn = np.random.default_rng(0).normal(size=(task.graph.n_edges, 5))
    for returned in (drawn, torch.from_numpy(drawn)):
        found = kc.discover(lambda _, returned=returned: returned, task)
        assert np.array_equal(found.by_position, drawn)
        assert np.allclose(found.values, np.abs(drawn).sum(1))
    signed = kc.discover(Method(lambda _: drawn, rank_by="signed"), task)
    assert np.allclose(signed.values, drawn.sum(1))
    assert "at each of 5 positions" in repr(signed)
    assert kc.discover("eap", task).by_position is None
    drawn[3, 2] = np.nan
    with pytest.raises(GraphError, match="NaN"):
        kc.discover(lambda _: drawn, task)


def test_items_are_edges_at_positions() -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice([Label.OUT, Label.IN, Label.UNDETERMINED], DRAWN.shape).astype(np.int8)
    known, truth = labels != Label.UNDETERMINED, labels == Label.IN
    whole = Scores(GRAPH, np.abs(DRAWN).sum(1), "mine", threshold=1.0)
    at_positions = replace(whole, by_position=DRAWN)
    everywhere = np.broadcast_to(whole.values[:, None], DRAWN.shape)
    for scores, ranking in (
        (at_positions, np.abs(DRAWN)),
        (replace(at_positions, rank_by="signed"), DRAWN),
        (whole, everywhere),
    ):
        found = score_positions(scores, labels, resolution=0)
        assert found.auroc == pytest.approx(roc_auc_score(truth[known], ranking[known]))
        expected = average_precision_score(truth[known], ranking[known])
        assert found.average_precision == pytest.approx(expected)
        assert (found.n_items, found.n_determined) == (labels.size, known.sum())
        assert found.chosen is not None
        assert found.chosen.n_chosen == (ranking[known] > 1).sum()
    assert score_positions(whole, np.zeros_like(labels)).auroc is None


@pytest.mark.usefixtures("no_shape_checks")
def test_other_positions_are_refused() -> None:
    scores = Scores(GRAPH, DRAWN.sum(1), "mine", by_position=DRAWN)
    with pytest.raises(GraphError, match=r"labels of shape \[\d+, 4\], got \[\d+, 3\]"):
        score_positions(scores, np.zeros((GRAPH.n_edges, 3), dtype=np.int8))
    with pytest.raises(GraphError, match=r"labels of shape \[\d+, pos\], got \[2, 3\]"):
        score_positions(replace(scores, by_position=None), np.zeros((2, 3), dtype=np.int8))
    with pytest.raises(GraphError, match=r"at positions of shape \[\d+, pos\], got \[3, 2\]"):
        replace(scores, by_position=np.zeros((3, 2)))
    with pytest.raises(GraphError, match=f"position 1 of {GRAPH.edges[2]}"):
        replace(scores, by_position=np.where(DRAWN[2, 1] == DRAWN, np.inf, DRAWN))


def test_eap_ig_json_keeps_them_without_loss(tmp_path: Path) -> None:
    file = graph_file(
        GRAPH, scores=DRAWN.sum(1), by_position=DRAWN, positions=["BOS", "a", "", "b"]
    )
    write_graph_file(file, tmp_path / "mine.json")
    found = read_graph_file(tmp_path / "mine.json")
    assert np.array_equal(found.by_position, DRAWN)
    assert np.array_equal(found.scores, DRAWN.sum(1))
    assert found.positions == ("BOS", "a", "", "b")
    stored = read_scores(tmp_path / "mine.json")
    assert np.array_equal(stored.scores.by_position, DRAWN)
    assert graph_file(GRAPH, scores=DRAWN.sum(1)).by_position is None
    merged = found.merge_inputs()
    ends = [GRAPH.index(f"{source}->m0") for source in ("embed", "pos")]
    larger = np.abs(DRAWN[ends]).argmax(0)
    expected = DRAWN[ends][larger, np.arange(4)]
    assert np.array_equal(merged.by_position[merged.graph.index("input->m0")], expected)
    assert merged.positions == found.positions


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d["edges"]["embed->m0"].pop("score_by_position"), "as many positions"),
        (lambda d: d["edges"]["embed->m0"].update(score_by_position=[1.0]), "as many positions"),
        (lambda d: d["edges"]["embed->m0"].update(score_by_position=3), "as many positions"),
        (lambda d: d["edges"]["embed->m0"]["score_by_position"].__setitem__(0, "x"), "finite"),
        (lambda d: d.update(positions=["a"]), "names of 4 positions, got 1"),
        (lambda d: d.update(positions=[1, 2, 3, 4]), "positions as names"),
    ],
)
def test_files_that_do_not_fit_are_refused(change, problem) -> None:  # type: ignore[no-untyped-def]
    file = graph_file(GRAPH, scores=DRAWN.sum(1), by_position=DRAWN)
    document = json.loads(json.dumps(file.document))
    change(document)
    with pytest.raises(ResultError, match=problem):
        parse_graph(document, "a file")


@pytest.mark.usefixtures("no_shape_checks")
def test_a_result_and_its_diagrams(tmp_path: Path) -> None:
    """`peap` on one pair: the file has the tokens, and diagrams are called by them."""
    (result,) = run([Settings("peap", n_pairs=1)], [("histogram", "compiled")], tmp_path)
    (path,) = tmp_path.rglob("*.json")
    (again,) = read_results(tmp_path)
    assert np.array_equal(again.scores.by_position, result.scores.by_position)
    assert np.array_equal(again.scores.values, result.scores.values)
    task = kc.make_task(kc.load_case("histogram").compile(), 1)
    effects = edge_effects_by_position(task, "eap")
    assert np.allclose(again.scores.by_position, effects, atol=1e-12)
    stored = read_scores(path)
    assert stored.positions[0] == "BOS"
    assert len(stored.positions) == task.clean.shape[1]
    figure = circuit_sankey(stored.scores, positions=stored.positions)
    expected = circuit_sankey(effects, graph=task.graph, positions=stored.positions)
    texts = {a.text for a in figure.layout.annotations}
    assert texts == {a.text for a in expected.layout.annotations}
    said = CliRunner().invoke(app, ["sankey", str(path), "--truth", "--format", "json"])
    assert said.exit_code == 0, said.output
    rows = json.loads(said.stdout)
    highest = np.unravel_index(np.abs(effects).argmax(), effects.shape)
    assert (rows[0]["edge"], rows[0]["position"]) == (task.graph.edges[highest[0]], highest[1])
    assert rows[0]["token"] == stored.positions[highest[1]]


def test_tokens_name_positions_where_all_inputs_agree(tmp_path: Path) -> None:
    run([Settings("peap", n_pairs=5)], [("fraction_of_x", "compiled")], tmp_path)
    (path,) = tmp_path.rglob("*.json")
    assert read_scores(path).positions[:2] == ("BOS", "")
