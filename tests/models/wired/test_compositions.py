"""Random sequences of transformations: labels as stated, and the same model again by its recipe."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from knowncircuits.cases import load_case
from knowncircuits.circuit import Label
from knowncircuits.errors import GraphError, ModelError
from knowncircuits.models.wired import (
    Wired,
    distance,
    edge_effects,
    load_wired,
    save_wired,
    wire,
)
from knowncircuits.models.wired.wired import Step
from parts import examples

EXACT = 1e-8  # of a few transformations after each other


@cache
def plain(name: str) -> Wired:
    return Wired.of(load_case(name).compile())


def heads(wired: Wired) -> list[str]:
    return [str(node) for node in wired.circuit.inside_nodes if node.kind == "head"]


def draw_step(draw: st.DrawFn, wired: Wired) -> tuple[str, dict[str, Any]]:
    """A transformation that is exact, with parameters that may fit."""
    kind = draw(st.sampled_from(("rotate", "split", "move", "host", "sharpen")))
    seed, c = draw(st.integers(0, 99)), wired.model.config
    if kind == "rotate":
        return kind, {"seed": seed}
    if kind == "host":
        sizes = {"layers": c.n_layers + draw(st.integers(0, 1)), "heads": c.n_heads}
        return kind, {**sizes, "width": 3, "units": 3, "seed": seed}
    head = draw(st.sampled_from(heads(wired)))
    if kind == "sharpen":
        return kind, {"node": head, "factor": 2.0}
    if kind == "split":
        layer = head.partition(".")[0]
        return kind, {"head": head, "over": [head, f"{layer}.h{c.n_heads}"]}
    mlps = [f"m{layer}" for layer in range(c.n_layers) if wired.model.hidden[layer]]
    source = draw(st.sampled_from(mlps))
    n = wired.model.hidden[int(source[1:])]
    units = draw(st.none() | st.lists(st.integers(0, n - 1), min_size=1, max_size=n))
    return kind, {
        "source": source,
        "target": f"m{draw(st.integers(0, c.n_layers))}",
        "units": units,
    }


@st.composite
def wirings(draw: st.DrawFn) -> Wired:
    wired = plain(draw(st.sampled_from(("histogram", "fraction_of_x", "equals_token_two_back"))))
    for _ in range(draw(st.integers(1, 4))):
        try:
            wired = wire(wired, [draw_step(draw, wired)])
        except (ModelError, GraphError):  # it does not fit here, and says so
            continue
    return wired


@settings(max_examples=examples(40))
@given(wirings())
def test_labels_stay_as_stated(wired: Wired) -> None:
    assert distance(wired, n_pairs=100) < EXACT
    for edge, effect in edge_effects(wired).items():
        assert (effect > EXACT) == (wired.circuit.label(edge) == Label.IN), (edge, wired.recipe)
    compiled = wired.compiled.circuit
    stood_for = {image for images in wired.images.values() for image in images}
    assert set(map(str, compiled.edges())) <= stood_for


@settings(max_examples=examples(40))
@given(wirings())
def test_a_model_is_read_as_it_was_and_made_again_by_its_recipe(wired: Wired) -> None:
    with TemporaryDirectory() as folder:
        save_wired(wired, folder)
        again = load_wired(Path(folder))
    assert again.recipe == wired.recipe
    assert again.circuit == wired.circuit
    ids = wired.compiled.draw(10, seed=1)
    assert torch.equal(again.model(ids), wired.model(ids))
    made = wire(plain(wired.compiled.name), again.recipe)
    assert all(isinstance(step, Step) for step in made.recipe)
    assert torch.equal(made.model(ids), wired.model(ids))
    assert made.circuit == wired.circuit
