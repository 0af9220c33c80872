"""Figures of components: what they draw, what is known beside it, and what they refuse."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import knowncircuits as kc
from knowncircuits.circuit import circuit_from_edges
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.evaluation.components import Attention
from knowncircuits.evaluation.figures import (
    attention_figure,
    attention_output_figure,
    component_bars,
    head_positions_figure,
    heads_figure,
)
from knowncircuits.evaluation.figures.theme import THEMES, diverging_scale
from knowncircuits.graph import Graph
from knowncircuits.names import Node
from strategies import random_task


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return kc.act_patch(random_task("logit_diff"), ["z", "q", "mlp"])


def heatmaps(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def test_a_panel_for_each_view_of_heads(frame: pd.DataFrame) -> None:
    figure = heads_figure(frame)
    panels = heatmaps(figure)
    assert [a.text for a in figure.layout.annotations] == [
        "z: what heads write",
        "q: what queries read",
    ]
    for panel, view in zip(panels, ("z", "q"), strict=True):
        rows = frame[frame["view"] == view]
        wanted = rows.pivot(index="layer", columns="head", values="lost")
        assert np.array_equal(panel.z, wanted)
        assert panel.customdata[1][0].startswith(f"<b>a1.h0</b>, {view}: ")
        assert f"lost {wanted.loc[1, 0]:.4g}" in panel.customdata[1][0]
    axis = figure.layout.coloraxis
    heads = frame.loc[frame["kind"] == "head", "lost"]
    assert axis.cmax == -axis.cmin == heads.abs().max()
    assert len(figure.data) == 2  # nothing is said of truth
    assert not figure.layout.legend.orientation
    (first, *_) = heatmaps(heads_figure(frame, column="value"))
    assert first.z[0][0] == frame["value"][0]


@pytest.mark.parametrize("theme", THEMES)
def test_zero_is_in_the_middle_of_the_scale(theme: str) -> None:
    scale = diverging_scale(THEMES[theme])
    assert len(scale) % 2
    assert scale[len(scale) // 2] == [0.5, "#f5f5f2"]


def test_what_is_known_is_marked_view_by_view(frame: pd.DataFrame) -> None:
    circuit = circuit_from_edges(Graph(2, 2), ["a0.h1->a1.h0<q>", "a1.h0->logits"], ["pos->m0"])
    drawn = [
        (t.name, t.xaxis, list(t.x), list(t.y))
        for t in heads_figure(frame, known=circuit).data
        if t.type == "scatter"
    ]
    assert drawn == [
        ("in the circuit", "x", [1, 0], [0, 1]),
        ("in the circuit", "x2", [0], [1]),
    ]
    roles = {"mover": ["a1.h1"], "backup": ["a0.h0", "a1.h0"]}
    figure = heads_figure(frame, known=roles)
    signs = [t for t in figure.data if t.type == "scatter" and t.showlegend]
    assert [t.name for t in signs] == ["mover", "backup"]
    assert len({t.marker.symbol for t in signs}) == 2


def test_positions_of_the_largest_heads() -> None:
    frame = kc.act_patch(random_task("logit_diff"), ["z", "v"], per_position=True)
    figure = head_positions_figure(frame, tokens=list("abcde"), n=3)
    (z, v) = heatmaps(figure)
    sizes = frame["lost"].abs().groupby(frame["node"]).max()
    assert list(figure.layout.yaxis.ticktext) == sorted(sizes.nlargest(3).index)
    assert z.z.shape == v.z.shape == (3, 5)
    assert list(figure.layout.xaxis2.ticktext) == list("abcde")
    row = frame[(frame["view"] == "v") & (frame["node"] == figure.layout.yaxis.ticktext[1])]
    assert np.array_equal(v.z[1], row["lost"])
    assert "the 3 heads of 4 farthest from 0" in figure.layout.title.text
    with pytest.raises(ResultError, match="expected 5 tokens, got 2"):
        head_positions_figure(frame, tokens=["a", "b"])


def test_bars_of_the_largest(frame: pd.DataFrame) -> None:
    figure = component_bars(frame, known={"mover": ["a1.h1"]}, n=4)
    (bars,) = (trace for trace in figure.data if trace.type == "bar")
    largest = frame["lost"].abs().nlargest(4).index
    assert list(bars.x)[::-1] == frame.loc[largest, "lost"].tolist()
    names = [name.strip() for name in figure.layout.yaxis.ticktext][::-1]
    for name, (_, row) in zip(names, frame.loc[largest].iterrows(), strict=True):
        assert name.startswith(row["node"])
        assert ("(mover)" in name) == (row["node"] == "a1.h1")
    colours = THEMES["default"]
    assert [c == colours.above[2] for c in bars.marker.color] == [x > 0 for x in bars.x]
    direct = component_bars(kc.direct_logits(random_task()))
    assert direct.data[0].error_x.array is not None
    none = frame.assign(lost=0.0)
    assert len(component_bars(none).data[0].x) == 1


def test_attention_patterns() -> None:
    patterns = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    nodes = (Node("a0.h1"), Node("a1.h0"))
    looked = Attention("a case", nodes, patterns, torch.zeros(3, 4, dtype=torch.long))
    figure = attention_figure(looked, tokens=list("abcd"))
    for panel, i in zip(heatmaps(figure), range(2), strict=True):
        assert np.allclose(panel.z, patterns[:, i].double().mean(0))
        assert panel.customdata[2][1] == "c to b"
    assert figure.layout.yaxis.autorange == "reversed"
    one = attention_figure(looked, only=["a1.h0"], pair=2)
    assert np.allclose(heatmaps(one)[0].z, patterns[2, 1])
    assert one.layout.xaxis.ticktext[0] == "BOS"
    with pytest.raises(ResultError, match=r"heads and a pair of a0\.h1, a1\.h0 on 3 pairs"):
        attention_figure(looked, pair=3)


def test_output_against_attention() -> None:
    rows = [
        {"node": node, "key": key, "pair": pair, "attention": 0.5, "output": size * (pair - 1)}
        for node, size in (("a0.h0", 0.1), ("a0.h1", 2.0), ("a1.h0", -3.0))
        for key in ("IO", "S")
        for pair in range(3)
    ]
    figure = attention_output_figure(pd.DataFrame(rows), n=2)
    assert [a.text for a in figure.layout.annotations] == ["a0.h1", "a1.h0"]
    assert [t.name for t in figure.data] == ["IO", "S", "IO", "S"]
    assert [t.showlegend for t in figure.data] == [True, True, False, False]
    assert list(figure.data[2].y) == [3.0, 0.0, -3.0]


def test_what_does_not_fit(frame: pd.DataFrame) -> None:
    with pytest.raises(ResultError, match="got a frame of positions of heads"):
        heads_figure(frame.assign(position=1))
    with pytest.raises(ResultError, match="got a frame of no heads"):
        heads_figure(frame[frame["kind"] == "mlp"])
    with pytest.raises(ResultError, match="expected a frame of components with node, kind, x"):
        component_bars(frame, column="x")
    with pytest.raises(ResultError, match="attention_output with at least one row"):
        attention_output_figure(frame)
    with pytest.raises(ResultError, match="positions of heads, got a frame of none"):
        head_positions_figure(frame[frame["kind"] == "mlp"].assign(position=0))
    with pytest.raises(UnknownNameError, match="unknown theme"):
        heads_figure(frame, theme="no")
