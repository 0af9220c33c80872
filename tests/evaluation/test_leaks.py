"""Planted leaks: each of a known effect is caught by its stratum, and its edge named."""

from __future__ import annotations

import numpy as np
import torch

import knowncircuits as kc
from knowncircuits.evaluation.bench.leaks import LEAST, bench_leaks
from knowncircuits.evaluation.bench.planting import plant_copy, plant_edge


def test_leaks_are_caught_and_named() -> None:
    found = bench_leaks(["fraction_of_x"], strata=["balanced", "length:3"], n_edges=3, n_pairs=600)
    assert {"out", "copy"} <= set(found.kind)
    assert (found.effect >= LEAST).all()
    assert found.caught.all()
    assert found.named.all(), found[~found.named]


def test_a_leak_is_along_one_edge() -> None:
    placed = kc.load_model("fraction_of_x", zoo=1).placed
    base, source = placed.compiled.draw(40, 0).chunk(2)
    leaky = plant_edge(placed, "a0.h3->logits", 1.0, 0).model
    edges = leaky.graph.edges
    masks = torch.eye(leaky.graph.n_edges)[:, None]
    with torch.no_grad():
        effects = [
            torch.stack([model.run(base, other, mask).logits - model(base) for mask in masks])
            for model, other in ((m, m.run(source).outputs) for m in (placed.model, leaky))
        ]
    moved = (effects[1] - effects[0]).abs().flatten(1).amax(1) > 1e-4
    # Logits are a sum: other edges do what they did, but for those that change what leaks.
    into_source = {f"embed->a0.h3<{letter}>" for letter in "qkv"}
    assert {edges[i] for i in moved.nonzero().flatten()} == {"a0.h3->logits", *into_source}


def test_only_the_destination_and_its_readers_change() -> None:
    placed = kc.load_model("fraction_of_x", zoo=1).placed
    ids = placed.compiled.draw(40, 0)
    leaky = plant_edge(placed, "a0.h3->a1.h0<q>", 20.0, 0).model
    with torch.no_grad():
        change = leaky.run(ids).outputs[..., :-1] - placed.model.run(ids).outputs
    writes = change.abs().amax((0, 2, 3)) > 1e-5
    assert {str(leaky.graph.sources[i]) for i in writes.nonzero().flatten()} == {"a1.h0", "m1"}


def test_a_copy_keeps_what_the_model_says() -> None:
    placed = kc.load_model("fraction_of_x", zoo=1).placed
    ids = placed.compiled.draw(100, 0)
    with torch.no_grad():
        logits = placed.model(ids)
        shared = plant_copy(placed, "a1.h0", "a1.h1", 0.3).model(ids)
    assert np.allclose(shared[:, 1:], logits[:, 1:], atol=0.05)
