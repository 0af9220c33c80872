"""The figures of effects: what they draw for a given frame, and which frames they refuse."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.cases import load_case
from knowncircuits.errors import GraphError, ResultError, UnknownNameError
from knowncircuits.evaluation.figures import (
    THEMES,
    circuit_effects_figure,
    effects_figure,
    effects_heatmap,
)
from knowncircuits.evaluation.figures.axis import ScaleAxis
from knowncircuits.evaluation.figures.ends import LETTERS, Line, end_names, spread
from knowncircuits.evaluation.figures.files import draw_effects, save_effects

SCALES = (0.0, 0.5, 1.0, 2.0)
NODES = {"embed": "in", "pos": "undetermined", "m0": "in", "a0.h0": "out", "a0.h1": "out"}


def effects(
    nodes: dict[str, str] = NODES,
    scales: Sequence[float] = SCALES,
    ablation: str = "resample",
    model: str = "a case",
    positions: Sequence[int] = (),
) -> pd.DataFrame:
    """As `causal_effects` returns them: inside nodes change the more, the larger the scale."""
    rows = [
        {
            "model": model,
            "node": node,
            "kind": "edge" if "->" in node else "head" if node.startswith("a") else node,
            "layer": 0,
            "status": status,
            "ablation": ablation,
            "scale": scale,
            "effect": (status == "in") * min(1.0, scale),
            "n": 200,
            "n_changed": round(200 * (status == "in") * min(1.0, scale)),
            **({"position": position} if positions else {}),
        }
        for node, status in nodes.items()
        for scale in scales
        for position in positions or [0]
    ]
    return pd.DataFrame(rows)


def lines(figure: Any) -> dict[str, Any]:
    """The traces of nodes, by name."""
    return {trace.name: trace for trace in figure.data if trace.text is not None}


@pytest.mark.parametrize("theme", THEMES)
def test_curves_have_a_line_for_each_node_by_status(theme: str) -> None:
    figure = effects_figure(effects(), theme=theme)
    drawn = lines(figure)
    assert set(drawn) == set(NODES)
    assert len({trace.line.color for trace in drawn.values()}) == len(NODES)
    for node, status in NODES.items():
        assert drawn[node].legendgroup == status
        assert list(drawn[node].y) == effects().query("node == @node")["effect"].tolist()
    # Beside colour: dash and marker.
    assert len({drawn[n].line.dash for n in ("embed", "pos", "a0.h0")}) == 3
    assert len({drawn[n].marker.symbol for n in ("embed", "pos", "a0.h0")}) == 3
    legend = [trace for trace in figure.data if trace.showlegend is None]
    names = ["in the circuit (2)", "outside (2)", "undetermined (1)"]
    assert [trace.name for trace in legend] == names
    assert_same_looks(legend, drawn)
    assert list(drawn)[-1] in ("embed", "m0")  # on top


def assert_same_looks(legend: list[Any], drawn: dict[str, Any]) -> None:
    """The legend shows what the lines of a status look like, and one of their colours."""
    for entry in legend:
        of = [trace for trace in drawn.values() if trace.legendgroup == entry.legendgroup]
        for trace in of:
            assert (trace.mode, trace.opacity) == (entry.mode, entry.opacity)
            assert (trace.line.dash, trace.line.width) == (entry.line.dash, entry.line.width)
            assert trace.marker.symbol == entry.marker.symbol
        assert entry.line.color in {trace.line.color for trace in of}


def test_hovering_names_a_node_its_counts_and_what_it_hides() -> None:
    drawn = lines(effects_figure(effects()))
    text = drawn["a0.h0"].text[2]
    assert "<b>a0.h0</b> (head, layer 0), outside" in text
    assert "effect 0.000 at scale 1" in text
    assert "0 of 200 answers changed" in text
    assert "also pos, a0.h1" in text
    assert "also embed" in drawn["m0"].text[2]
    alone = lines(effects_figure(effects({"m0": "in", "pos": "out"})))["m0"].text
    assert ["also" in text for text in alone] == [True, False, False, False]  # both start at 0


def test_names_stand_beside_the_ends_of_lines_and_do_not_overlap() -> None:
    figure = effects_figure(effects())
    drawn = lines(figure)
    tags = {tag.text: tag for tag in figure.layout.annotations}
    assert set(tags) == {"embed", "m0", "3 flat"}
    for name in ("embed", "m0"):
        assert (tags[name].x, tags[name].y) == (2.0, 1.0)
        assert tags[name].font.color == drawn[name].line.color
    # Both lines end at 1, and a letter is some 13 pixels high.
    assert abs(tags["embed"].ay - tags["m0"].ay) >= 13
    assert tags["3 flat"].y == 0.0


def test_names_of_lines_as_far_as_there_is_room() -> None:
    many = [Line(f"a0.h{i}", "out", (0.5, 0.3 + i / 1000)) for i in range(40)]
    inside = [Line("m0", "in", (0.0, 0.0)), Line("m1", "in", (1.0, 1.0))]
    names = end_names([*many, *inside], 0.0, 1.0, height=10 * LETTERS)
    assert names[0].text == "m0"
    assert names[-1].text == "m1"
    assert "33 more" in [name.text for name in names]
    places = [name.at for name in names]
    assert np.diff(places).min() >= 0.1 - 1e-9
    assert 0 < places[0] < places[-1] < 1
    assert end_names([], 0, 1, 100) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_places_are_moved_apart_as_little_as_it_takes(places: list[float]) -> None:
    places = sorted(places)
    moved = spread(places, 0.05, 0.0, 1.0)
    assert all(b - a >= 0.05 - 1e-9 for a, b in itertools.pairwise(moved))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in moved)
    if all(b - a >= 0.05 for a, b in itertools.pairwise(places)):
        assert moved == pytest.approx(places)


def test_several_ablations_are_panels_with_the_same_axes() -> None:
    kinds = ("self-inside", "self-outside", "resample-inside", "resample-outside")
    figure = effects_figure(pd.concat([effects(ablation=kind) for kind in kinds]))
    axes = [axis for axis in figure.layout if axis.startswith("xaxis")]
    assert len(axes) == 4
    for letter in "xy":
        ranges = {getattr(figure.layout, f"{letter}axis{n}").range for n in ("", 2, 3, 4)}
        assert len(ranges) == 1
    titles = [a.text for a in figure.layout.annotations if "top directions" in a.text]
    assert len(titles) == 4
    models = effects_figure(pd.concat([effects(model=name) for name in ("trained", "natural")]))
    assert {"trained", "natural"} <= {a.text for a in models.layout.annotations}


def test_many_lines_are_thin_and_those_of_the_circuit_are_not() -> None:
    nodes = {f"m0->a1.h{i}<v>": "in" if i == 7 else "out" for i in range(60)}
    figure = effects_figure(effects(nodes))
    drawn = lines(figure)
    inside, outside = drawn["m0->a1.h7<v>"], drawn["m0->a1.h8<v>"]
    assert inside.line.width > outside.line.width
    assert inside.opacity > outside.opacity
    assert {trace.mode for trace in drawn.values()} == {"lines"}
    assert_same_looks([trace for trace in figure.data if trace.showlegend is None], drawn)
    assert "edges of a case" in figure.layout.title.text
    assert "and 53 more" in outside.text[0]


@pytest.mark.parametrize(
    ("scales", "places"),
    [((0, 0.5, 1), [0, 0.5, 1]), ((-1, 0, 10), [-1.4436, 0, 3.6895])],
)
def test_scales_have_places(scales: tuple[float, ...], places: list[float]) -> None:
    axis = ScaleAxis(scales)
    assert [axis.place(scale) for scale in axis.scales] == pytest.approx(places, abs=1e-4)


def test_numbers_on_the_axis_do_not_overlap() -> None:
    axis = ScaleAxis((0, 0.1, 0.2, 0.5, 0.7, 0.8, 1, 1.2, 1.4, 2, 5, 10))
    assert axis.ticks(0.01) == axis.scales
    few = axis.ticks(0.1)
    assert {0, 1, 10} <= set(few)
    assert np.diff([axis.place(scale) for scale in few]).min() >= 0.1 * axis.place(10)
    assert ScaleAxis([1.0]).ticks(0.1) == [1.0]


def test_a_heatmap_is_of_nodes_and_positions() -> None:
    frame = effects(scales=(1.0,), positions=(0, 1, 2))
    frame.loc[frame["position"] == 0, "effect"] = 0.0
    (trace,) = effects_heatmap(frame).data
    assert trace.z.shape == (5, 3)
    assert trace.z[-2].tolist() == [0, 1, 1]
    assert trace.text[-2].tolist() == ["", "1.00", "1.00"]
    assert "effect 1.000 at position 2" in trace.customdata[-2][2]
    layout = effects_heatmap(frame).layout
    assert layout.xaxis.ticktext == ("BOS", "1", "2")
    by_status = ["pos", "a0.h0", "a0.h1", "embed", "m0"]  # the circuit's at the top
    assert [text.split()[0] for text in layout.yaxis.ticktext] == by_status
    with pytest.raises(ResultError, match="missing position"):
        effects_heatmap(effects())
    both = pd.concat([frame, frame.assign(ablation="mean")])
    with pytest.raises(ResultError, match="expected one ablation to draw, got .* resample, mean"):
        effects_heatmap(both)
    assert "mean, scale 1" in effects_heatmap(both, ablation="mean").layout.title.text


def edges(case: str = "fraction_of_x") -> tuple[Any, pd.DataFrame]:
    compiled = load_case(case).compile()
    labels = {e: label.name.lower() for e, label in compiled.circuit.project("edge").items()}
    return compiled, effects(labels, scales=(1.0,))


def test_the_circuits_edges_are_coloured_by_effect() -> None:
    compiled, frame = edges()
    frame.loc[frame["node"] == "m0->logits", "effect"] = 0.5
    figure = circuit_effects_figure(compiled, frame)
    drawn = {t.hovertemplate.partition("<br>")[0]: t for t in figure.data if t.hovertemplate}
    inside = set(compiled.circuit.edges())
    assert inside | {"m0->logits"} <= set(drawn)
    widths = {edge: drawn[edge].line.width for edge in (*inside, "m0->logits")}
    assert min(widths[edge] for edge in inside) > widths["m0->logits"]
    assert drawn["m0->logits"].line.dash == "dash"
    assert "outside<br>effect 0.500" in drawn["m0->logits"].hovertemplate
    assert "28 of 32 edges with effects below 0.005 are not drawn" in figure.layout.title.text
    again = circuit_effects_figure(compiled.circuit, frame, theme="colourblind", least=0.6)
    assert not any("m0->logits" in str(trace.hovertemplate) for trace in again.data)


def test_frames_of_something_else() -> None:
    compiled, frame = edges()
    with pytest.raises(ResultError, match="expected effects of edges .*, got one of embed"):
        circuit_effects_figure(compiled, effects())
    with pytest.raises(GraphError, match="unknown edge 'm7->logits'"):
        circuit_effects_figure(compiled, frame.assign(node="m7->logits").head(1).assign(effect=1))
    for broken, message in (
        (effects().drop(columns="effect"), "missing effect"),
        (effects().head(0), "at least one row"),
        (pd.concat([effects(), effects()]), "got several"),
    ):
        with pytest.raises(ResultError, match=message):
            effects_figure(broken)
    with pytest.raises(UnknownNameError, match="theme 'colorblind'; did you mean colourblind"):
        effects_figure(effects(), theme="colorblind")


def test_what_suits_a_frame_is_drawn() -> None:
    compiled, of_edges = edges()
    by_position = effects(scales=(1.0,), positions=(0, 1))
    titles = [
        draw_effects(frame, compiled.circuit).layout.title.text
        for frame in (effects(), by_position, of_edges)
    ]
    assert "nodes of a case" in titles[0]
    assert "by position" in titles[1]
    assert "not drawn" in titles[2]
    assert "lines" in draw_effects(of_edges, None).data[0].mode  # no circuit to draw
    assert len(lines(draw_effects(of_edges, compiled.circuit, "curves"))) == 32
    with pytest.raises(ResultError, match="expected a model with a circuit"):
        draw_effects(of_edges, None, "circuit")
    with pytest.raises(UnknownNameError, match="unknown figure 'pie'"):
        draw_effects(effects(), None, "pie")


def test_effects_as_files(tmp_path: Path) -> None:
    frame = effects()
    frame.loc[0, "effect"] = 1 / 3
    figure = effects_figure(frame)
    for name in ("a.csv", "a.json", "a.html"):
        save_effects(frame, figure, tmp_path / name)
    assert pd.read_csv(tmp_path / "a.csv").equals(frame)
    assert json.loads((tmp_path / "a.json").read_text()) == frame.to_dict("records")
    assert "plotly" in (tmp_path / "a.html").read_text()
    save_effects(frame.assign(effect=np.nan), figure, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())[0]["effect"] is None
    with pytest.raises(ResultError, match=r"ending in .csv, .json, .html, .png, .pdf, .svg, got"):
        save_effects(frame, figure, tmp_path / "a.xlsx")


def test_the_subtitle_says_what_an_effect_is() -> None:
    frame = effects()
    assert "share of changed answers" in effects_figure(frame).layout.title.text
    frame.attrs["metric"] = "kl"
    assert "KL divergence" in effects_figure(frame).layout.title.text
