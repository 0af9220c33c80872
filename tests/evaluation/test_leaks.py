"""Planted leaks: each of a known effect is caught by its stratum, and its edge named."""

from __future__ import annotations

import numpy as np
import torch

import knowncircuits as kc
from knowncircuits.evaluation.bench.leaks import LEAST, bench_leaks
from knowncircuits.evaluation.bench.planting import plant_copy


def test_leaks_are_caught_and_named() -> None:
    found = bench_leaks(["fraction_of_x"], strata=["balanced", "length:3"], n_edges=3, n_pairs=600)
    assert {"out", "copy"} <= set(found.kind)
    assert (found.effect >= LEAST).all()
    assert found.caught.all()
    assert found.named.all(), found[~found.named]


def test_a_copy_keeps_what_the_model_says() -> None:
    placed = kc.load_model("fraction_of_x", zoo=1).placed
    ids = placed.compiled.draw(100, 0)
    with torch.no_grad():
        logits = placed.model(ids)
        shared = plant_copy(placed, "a1.h0", "a1.h1", 0.3).model(ids)
    assert np.allclose(shared[:, 1:], logits[:, 1:], atol=0.05)
