"""Scores of the authors' code, which was run on the same weights and pairs; see its README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.task import Task
from knowncircuits.transformer import Transformer
from strategies import random_task

RECORDED = Path(__file__).parents[2] / "data" / "attributions" / "scores.json"
KINDS: dict[str, dict[str, Any]] = {
    "layer": {"norm": "layer", "activation": "gelu_new"},
    "rms": {"norm": "rms", "gated": True, "activation": "silu"},
}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "eap": ("eap", {}),
    "relp": ("relp", {}),
    "relp-ah": ("relp", {"rules": ("ln", "ah", "identity", "half")}),
    "gim": ("gim", {}),
    "ifr": ("ifr", {}),
}


def recorded_task(kind: str) -> Task:
    """A random model without what TransformerLens's models lack, or count to other nodes."""
    task = random_task("logit_diff", seed=2, n_pairs=4, **KINDS[kind])
    model = task.model
    assert isinstance(model, Transformer)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    nothing = [model.b_O, model.W_pos] + ([model.b_in, model.b_gate] if kind == "rms" else [])
    for parameter in nothing:
        parameter[:] = 0
    return task


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_authors_code(kind: str, name: str) -> None:
    task = recorded_task(kind)
    wanted = json.loads(RECORDED.read_text(encoding="utf-8"))[kind][name]
    method, options = METHODS[name]
    found = dict(zip(task.graph.edges, discover(method, task, **options).values, strict=True))
    assert {edge for edge in found if not edge.startswith("pos")} == set(wanted)
    known = {edge: score for edge, score in wanted.items() if score is not None}
    largest = max(map(abs, known.values()))
    assert largest > 0.1
    # RelP's code adds 1e-6 to what it divides by.
    tolerance = 3e-5 if name.startswith("relp") else 1e-9
    assert len(known) > 30
    for edge, score in known.items():
        assert found[edge] == pytest.approx(score, abs=tolerance * largest), edge
    assert not np.allclose([*found.values()], discover("exact", task).values, atol=1e-3)
