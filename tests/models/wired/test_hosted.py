"""Levels of the hard suite in hosts: the same answers and circuits, and nothing gives them away."""

from __future__ import annotations

import numpy as np
import pytest

from knowncircuits.cases.experiments.registry import EXPERIMENTS
from knowncircuits.cases.registry import load_case
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.scoring.scores import score
from knowncircuits.evaluation.task import make_task
from knowncircuits.models.wired import distance, hosted, model_of

EXACT = 1e-8
CHEAP = ("weights", "read-share", "spread", "name-prior")
EASIEST = [f"{name}_{experiment.levels[0]}" for name, experiment in EXPERIMENTS.items()]


@pytest.mark.parametrize("name", [*EASIEST, pytest.param("deep_8", marks=pytest.mark.long)])
def test_a_host_changes_no_answer_under_any_set(name: str) -> None:
    case = load_case(name)
    wired, plain = hosted(case), model_of(case)
    soft = name.startswith(("saturate", "norm", "large"))
    assert distance(wired) < max(EXACT, 2 * distance(plain) if soft else 0)
    assert len(wired.circuit.edges()) == len(plain.circuit.edges())
    if all(step != "host" for step, _ in case.wiring):
        assert wired.model.graph.n_edges > 4 * plain.model.graph.n_edges


def test_what_neither_patches_nor_takes_gradients_finds_little() -> None:
    """Weights alone have an average precision of 1 on all of the compiled models."""
    found: dict[str, list[float]] = {method: [] for method in CHEAP}
    for name in ("gate_or_3", "backup_2", "deep_4", "faint_30"):
        wired = hosted(load_case(name))
        task = make_task(wired, 10)
        for method in CHEAP:
            precision = score(discover(method, task), wired.circuit).average_precision
            found[method].append(precision or 0.0)
    assert {method: float(np.mean(values)) < 0.4 for method, values in found.items()} == (
        dict.fromkeys(CHEAP, True)
    )
