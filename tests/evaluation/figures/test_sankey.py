"""Sankey diagrams: what is drawn for given scores, where, and how kinds are told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from knowncircuits.cases import load_case
from knowncircuits.circuit import Circuit, circuit_from_edges
from knowncircuits.cli import app
from knowncircuits.errors import GraphError, UnknownNameError
from knowncircuits.evaluation.choices import RankBy
from knowncircuits.evaluation.figures import circuit_sankey, save_figure
from knowncircuits.evaluation.figures.activations import (
    N_EDGES,
    activation_rows,
    activation_sankey,
)
from knowncircuits.evaluation.figures.diagram import HORIZONTAL, VERTICAL
from knowncircuits.evaluation.figures.kinds import SIGNS, STYLES
from knowncircuits.evaluation.figures.ribbons import Layout, arrange
from knowncircuits.evaluation.figures.sankey import shown_at_positions, shown_edges
from knowncircuits.evaluation.scoring.scores import Scores
from knowncircuits.graph import Graph
from knowncircuits.names import Node
from strategies import random_task

GRAPH = Graph(2, 2)
VALUES = {
    "embed->m0": 2.0,
    "m0->a1.h0<v>": -1.5,
    "a1.h0->logits": 1.0,
    "embed->a0.h0<q>": -3.0,
    "pos->m0": 0.5,
    "m1->logits": 0.01,
}
TRUTH = circuit_from_edges(
    GRAPH, ["embed->m0", "m0->a1.h0<v>", "a1.h0->logits", "a0.h1->m0"], ["pos->m0"]
)


def scores(rank_by: RankBy = "absolute") -> Scores:
    values = GRAPH.vector(dict.fromkeys(GRAPH.edges, 0.0) | VALUES)
    return Scores(GRAPH, values, "mine", rank_by)


def ribbons(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data if trace.name and "->" in trace.name}


def boxes(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data if trace.name in GRAPH.nodes}


def legend(figure: Any) -> list[str]:
    return [trace.name for trace in figure.data if trace.showlegend is None]


def thickness(trace: Any, axis: str = "y") -> float:
    """How wide a ribbon is where it begins."""
    edge = getattr(trace, axis)
    return abs(edge[-1] - edge[0])


def test_ribbons_are_as_wide_as_scores_and_coloured_by_sign() -> None:
    drawn = ribbons(circuit_sankey(scores()))
    assert set(drawn) == set(VALUES)  # and none with score 0
    positive, negative = SIGNS["default"]
    for edge, value in VALUES.items():
        assert drawn[edge].line.color == (positive if value > 0 else negative)
        assert f"score {value:.4g}" in drawn[edge].text
        assert edge in drawn[edge].text
        assert drawn[edge].hoveron == "fills"
    widths = {edge: thickness(drawn[edge]) for edge in VALUES}
    assert widths["embed->a0.h0<q>"] == pytest.approx(3 * widths["a1.h0->logits"], abs=0.3)
    assert widths["m1->logits"] == pytest.approx(2)  # thin, but to be seen
    upright = ribbons(circuit_sankey(scores(), vertical=True))
    assert {e: thickness(upright[e], "x") for e in VALUES} == pytest.approx(widths, abs=0.2)


def test_threshold_and_number_follow_the_ranking() -> None:
    by_size, by_sign = scores(), scores("signed")
    assert set(ribbons(circuit_sankey(by_size, threshold=1.5))) == {
        "embed->m0",
        "m0->a1.h0<v>",
        "embed->a0.h0<q>",
    }
    assert set(ribbons(circuit_sankey(by_sign, threshold=1.0))) == {"embed->m0", "a1.h0->logits"}
    assert set(ribbons(circuit_sankey(by_size, n_edges=1))) == {"embed->a0.h0<q>"}
    assert set(ribbons(circuit_sankey(by_size, n_edges=2, threshold=2.5))) == {"embed->a0.h0<q>"}
    assert shown_edges(by_size, n_edges=2) == [("embed->a0.h0<q>", -3.0), ("embed->m0", 2.0)]
    many = Scores(GRAPH, np.ones(GRAPH.n_edges), "even")
    assert {e for e, _ in shown_edges(many)} == set(GRAPH.edges[:30])  # ties in order
    with pytest.raises(GraphError, match="expected a number as threshold, got NaN"):
        circuit_sankey(by_size, threshold=float("nan"))
    title = circuit_sankey(by_size, threshold=0.5).layout.title.text
    assert f"5 of {GRAPH.n_edges} edges, those of at least 0.5" in title


def test_kinds_are_told_apart_without_colour() -> None:
    figure = circuit_sankey(scores(), TRUTH)
    drawn = ribbons(figure)
    kinds = {
        "embed->m0": "true",
        "m0->a1.h0<v>": "true",
        "embed->a0.h0<q>": "false",
        "m1->logits": "false",
        "pos->m0": "undetermined",
        "a0.h1->m0": "missed",
    }
    for edge, kind in kinds.items():
        assert drawn[edge].text.endswith(STYLES[kind].words)
        assert drawn[edge].line.dash == STYLES[kind].dash
    looks = [drawn[e] for e in ("embed->m0", "embed->a0.h0<q>", "pos->m0", "a0.h1->m0")]
    assert len({(t.line.dash, t.fillpattern.shape, str(t.fillcolor)[-4:]) for t in looks}) == 4
    assert legend(figure) == [
        "positive score (4)",
        "negative score (2)",
        "true positive (3)",
        "false positive (2)",
        "undetermined (1)",
        "missed (1)",
    ]
    order = list(drawn)  # what is true lies on top
    assert order.index("a1.h0->logits") > order.index("embed->a0.h0<q>")


def test_a_circuit_is_its_edges() -> None:
    compiled = load_case("fraction_of_x").compile()
    for shown in (compiled, compiled.circuit):
        figure = circuit_sankey(shown)
        assert set(ribbons(figure)) == set(compiled.circuit.edges())
        assert legend(figure) == []
        assert all("in the circuit" in trace.text for trace in ribbons(figure).values())


@pytest.mark.parametrize("vertical", [False, True])
def test_nodes_are_aligned_by_layer(vertical: bool) -> None:
    drawn = boxes(circuit_sankey(scores(), TRUTH, vertical=vertical))
    along = "y" if vertical else "x"
    starts = {node: min(getattr(trace, along)) for node, trace in drawn.items()}
    depths = sorted(starts, key=lambda node: starts[node])
    assert [Node(name).depth for name in depths] == sorted(Node(name).depth for name in starts)
    assert starts["embed"] == starts["pos"]
    assert starts["a0.h0"] == starts["a0.h1"]
    assert "into m0" in drawn["m0"].text
    assert "out: -1.5" in drawn["m0"].text
    names = [a.text for a in circuit_sankey(scores(), vertical=vertical).layout.annotations]
    assert names == ["layer 0", "layer 1"]


@pytest.mark.parametrize("vertical", [False, True])
def test_a_diagram_for_each_position(vertical: bool) -> None:
    values = np.zeros((GRAPH.n_edges, 4))
    values[:, 1] = scores().values
    values[GRAPH.index("embed->m0"), 0] = 1.0
    figure = circuit_sankey(values, TRUTH, graph=GRAPH, vertical=vertical)
    names = [a.text for a in figure.layout.annotations if "layer" not in a.text]
    assert names == ["<b>BOS</b>", "<b>position 1</b>"]
    title = figure.layout.title.text
    assert "nothing at positions 2, 3" in title
    assert "missed: a0.h1->m0" in title
    twice = [trace for trace in figure.data if trace.name == "embed->m0"]
    across, along = ("x", "y") if vertical else ("y", "x")
    assert set(getattr(twice[0], along)) == set(getattr(twice[1], along))  # the same columns
    first, second = (np.array(getattr(t, across)) for t in twice)
    assert (second.min() > first.max()) if vertical else (second.max() < first.min())
    for trace in figure.data:  # everything lies on the page
        for axis in "xy":
            place = getattr(trace, axis)
            low, high = getattr(figure.layout, f"{axis}axis").range
            assert place[0] is None or low <= min(place) <= max(place) <= high


def test_a_truth_of_positions_tells_edges_apart_at_each() -> None:
    """Which is in at one position may be out at another; what is missed is drawn where it is."""
    edge = GRAPH.index("embed->m0")
    values = np.zeros((GRAPH.n_edges, 3))
    values[edge, :2] = 2.0, 1.0
    labels = np.zeros(values.shape, dtype=np.int8)
    labels[edge] = 1, 0, 1
    figure = circuit_sankey(values, labels, graph=GRAPH)
    at = [trace.text for trace in figure.data if trace.name == "embed->m0"]
    kinds = ["true positive", "false positive", "missed"]
    assert [kind in text for kind, text in zip(kinds, at, strict=True)] == [True] * 3
    assert "nothing at" not in figure.layout.title.text
    with pytest.raises(GraphError, match=r"expected labels of shape \[\d+, 3\], got \[\d+, 2\]"):
        circuit_sankey(values, labels[:, :2], graph=GRAPH)


def test_positions_have_names_and_may_be_empty() -> None:
    values = np.zeros((GRAPH.n_edges, 3))
    values[:, 1] = scores().values
    figure = circuit_sankey(values, graph=GRAPH, positions=["BOS", "<a>", "b"])
    names = [a.text for a in figure.layout.annotations if "layer" not in a.text]
    assert names == ["<b>1: &lt;a&gt;</b>"]
    for vertical in (False, True):
        figure = circuit_sankey(values, graph=GRAPH, all_positions=True, vertical=vertical)
        notes = [a for a in figure.layout.annotations if "layer" not in a.text]
        assert [a.text for a in notes] == [
            "<b>BOS <i>(nothing)</i></b>",
            "<b>position 1</b>",
            "<b>position 2 <i>(nothing)</i></b>",
        ]
        places = [a.x if vertical else -a.y for a in notes]
        assert places == sorted(set(places))
    with pytest.raises(GraphError, match="expected names of 3 positions, got 2"):
        circuit_sankey(values, graph=GRAPH, positions=["a", "b"])
    assert shown_at_positions(values, GRAPH, n_edges=1) == [("embed->a0.h0<q>", 1, -3.0)]


def test_a_column_for_every_layer() -> None:
    """Compact, diagrams of different edges have different columns; aligned, the same."""
    short, long = (
        circuit_from_edges(GRAPH, edges) for edges in (["embed->logits"], ["m0->a1.h0<v>"])
    )
    for aligned in (False, True):
        widths = [circuit_sankey(each, aligned=aligned).layout.width for each in (short, long)]
        bands = [
            [a.text for a in circuit_sankey(each, aligned=aligned).layout.annotations]
            for each in (short, long)
        ]
        assert (bands[0] == bands[1]) == aligned
        assert (bands[0] == ["layer 0", "layer 1"]) == aligned
        assert widths[0] == widths[1] or not aligned


def test_a_run_shows_what_is_patched() -> None:
    task = random_task(n_pairs=1)
    truth = circuit_from_edges(task.graph, ["embed->m0", "m1->logits"])
    mask = torch.zeros(1, task.graph.n_edges, 5)
    mask[0, task.graph.index("m0->m1"), 2] = 0.5
    figure = activation_sankey(task.model, task.clean, task.alternative, mask, circuit=truth)
    drawn = {trace.name for trace in figure.data if trace.name and "->" in trace.name}
    assert drawn == {"embed->m0", "m1->logits", "m0->m1"}
    patched = [trace for trace in figure.data if trace.name == "m0->m1"]
    assert len(patched) == 1  # at one position
    assert ", mask 0.5<br>reads the other input" in patched[0].text
    assert legend(figure) == ["reads the other input (1)"]
    rows = activation_rows(task.model, task.clean, task.alternative, mask, circuit=truth)
    assert len(rows) == 2 * 5 + 1
    lengths = [length for _, _, length in rows]
    assert lengths == sorted(lengths, reverse=True)
    written = task.clean_run.outputs[0, 0].norm(dim=-1)
    found = {position: length for edge, position, length in rows if edge == "embed->m0"}
    assert [found[i] for i in range(5)] == pytest.approx(written.tolist())
    all_patched = torch.ones(1, task.graph.n_edges)
    all_patched[0, task.graph.index("embed->m0")] = 0
    first = activation_rows(
        task.model, task.clean, task.alternative, all_patched, circuit=truth, n_edges=10
    )
    assert {edge for edge, _, _ in first} == {"embed->m0", "m1->logits"}  # before others
    everything = activation_rows(task.model, task.clean)
    assert len(everything) == N_EDGES
    with pytest.raises(GraphError, match="expected a circuit of 2 layers"):
        activation_sankey(task.model, task.clean, circuit=circuit_from_edges(Graph(1, 1), []))


def test_the_command_at_positions(tmp_path: Path) -> None:
    case = ["sankey", "fraction_of_x", "--compiled"]
    pair = ["--tokens", "a x b x", "--corrupted", "x a b b"]
    run = CliRunner().invoke
    target = tmp_path / "run.html"
    patch = ["--show", "activations", "--patch", "m0->a1.h0<v>", "--save", str(target)]
    done = run(app, [*case, *pair, *patch, "--format", "csv"])
    assert done.exit_code == 0, done.output
    assert "a1.h0->logits,2,x,0.5" in done.output
    assert "1: a" in target.read_text()
    done = run(app, [*case, *pair, "--show", "exact", "--truth", "--aligned", "--all-positions"])
    assert done.exit_code == 0, done.output
    assert "edges at positions of BOS a x b x" in done.output
    done = run(app, [*case, *pair, "--show", "eap", "--truth", "--edges", "1", "--format", "csv"])
    assert "edge,position,token,score,truth" in done.output
    assert ",in\n" in done.output
    for wrong, message in (
        ([*case, *pair], "expected --show exact, eap or activations"),
        ([*case, "--show", "exact", "--patch", "m0->logits"], "--show activations with --patch"),
        ([*case, "--show", "activations", "--truth"], "--show exact or eap for --truth"),
        (["sankey", "none.json", "--show", "exact"], "with a case, got a file"),
    ):
        failed = run(app, wrong)
        assert failed.exit_code != 0
        assert message in str(failed.exception)


def test_nothing_to_draw() -> None:
    figure = circuit_sankey(scores(), threshold=100)
    assert not figure.data
    assert figure.layout.annotations[0].text == "no edge to draw"
    assert "the highest is 3, of embed->a0.h0<q>" in figure.layout.title.text
    none = Scores(GRAPH, np.zeros(GRAPH.n_edges), "none")
    assert not circuit_sankey(none).data
    assert not circuit_sankey(circuit_from_edges(GRAPH, [])).data
    only_missed = circuit_sankey(none, TRUTH)
    assert legend(only_missed) == ["missed (4)"]


def test_equal_arguments_give_equal_pages(tmp_path: Path) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        save_figure(circuit_sankey(scores(), TRUTH), tmp_path / name)
        pages.append((tmp_path / name).read_text())
    assert pages[0] == pages[1]
    for theme in ("default", "colourblind"):
        figure = circuit_sankey(scores(), theme=theme)
        assert ribbons(figure)["embed->m0"].line.color == SIGNS[theme][0]
        json.loads(figure.to_json())


def overlapping(layout: Layout) -> list[tuple[str, str]]:
    """Pairs of boxes that touch."""
    found = []
    for a, one in layout.boxes.items():
        for b, other in layout.boxes.items():
            same = one.along == other.along and a < b
            if same and one.across[0] < other.across[1] and other.across[0] < one.across[1]:
                found.append((a, b))
    return found


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 999), st.booleans())
def test_layouts_of_random_circuits(layers: int, heads: int, seed: int, vertical: bool) -> None:
    graph = Graph(layers, heads)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(graph.n_edges, rng.integers(1, graph.n_edges), replace=False)
    widths = {graph.edge(i): float(rng.uniform(1, 20)) for i in sorted(chosen.tolist())}
    columns = sorted({node.depth for node in graph.nodes})
    sizes = VERTICAL if vertical else HORIZONTAL
    layout = arrange(graph, widths, columns, sizes)
    assert overlapping(layout) == []
    for column in columns:  # heads of a layer from first to last
        row = [
            layout.boxes[n].across[0]
            for n in graph.nodes
            if n.depth == column and n in layout.boxes
        ]
        assert row == sorted(row)
    for edge, line in layout.lines.items():
        start, end = (layout.boxes[node] for node in edge.ends)
        assert (line[0][0], line[-1][0]) == pytest.approx((start.along[1], end.along[0]))
        for box, (_, across) in ((start, line[0]), (end, line[-1])):
            assert box.across[0] - 1e-6 <= across - widths[edge] / 2
            assert across + widths[edge] / 2 <= box.across[1] + 1e-6
        assert np.all(np.diff([along for along, _ in line]) >= 0)
        for box in layout.boxes.values():  # a ribbon passes beside nodes
            inside = [b for a, b in line if box.along[0] < a < box.along[1]]
            assert not any(box.across[0] < b < box.across[1] for b in inside)
    lowest = min(box.across[0] for box in layout.boxes.values())
    assert lowest >= -1e-6
    assert max(box.across[1] for box in layout.boxes.values()) <= layout.extent + 1e-6


@pytest.mark.usefixtures("no_shape_checks")
def test_what_is_refused() -> None:
    with pytest.raises(GraphError, match="expected the graph of an array of scores, got none"):
        circuit_sankey(scores().values)
    with pytest.raises(GraphError, match=r"\[\d+\] or \[\d+, pos\], got \[3\]"):
        circuit_sankey(np.ones(3), graph=GRAPH)
    with pytest.raises(GraphError, match="expected finite scores"):
        circuit_sankey(np.full(GRAPH.n_edges, np.nan), graph=GRAPH)
    other = Circuit(Graph(1, 1), np.zeros(Graph(1, 1).n_edges, dtype=np.int8))
    with pytest.raises(GraphError, match="expected a truth of 2 layers, 2 heads"):
        circuit_sankey(scores(), other)
    with pytest.raises(GraphError, match="number of edges of at least 0, got -1"):
        circuit_sankey(scores(), n_edges=-1)
    with pytest.raises(UnknownNameError, match="unknown theme"):
        circuit_sankey(scores(), theme="dark")
