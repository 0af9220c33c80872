"""Gradient methods on models whose scores can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from knowncircuits.architecture import TransformerConfig
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.task import Task
from knowncircuits.transformer import Transformer
from strategies import gate_task, linear_task

# Of a unit: the weight of both flags, the bias, and its weight in y. All on: a = b = 1, y = 1.
GATES = {
    "and": [(1, -1, 1)],  # relu(a + b - 1)
    "or": [(-1, 1, -1)],  # -relu(1 - a - b), which is 0, not -1, where a flag is on
    "saturated": [(1, 0, 1), (1, -1, -1)],  # relu(a + b) - relu(a + b - 1)
}
FLAGS = ("a0.h0->m0", "a0.h1->m0")


def scores(method: str, task: Task, **options: Any) -> list[float]:
    """Of the edges from the two flags to the gate."""
    values = discover(method, task, **options).values
    return [values[task.graph.index(edge)] for edge in FLAGS]


@pytest.mark.parametrize(
    ("gate", "exact", "slope"),
    [
        ("and", [1, 1], 1),  # each alone turns it off; the unit is on, with a slope of 1
        ("or", [0, 0], 0),  # neither does; the unit is off
        ("saturated", [0, 0], 0),  # 1 - 1
    ],
)
def test_gates_of_relus(gate: str, exact: list[int], slope: int) -> None:
    """With ReLU, f(x) / x is the gradient: `relp` sees what `eap` sees, and misses the same."""
    task = gate_task(GATES[gate])
    assert scores("exact", task) == exact
    for method in ("eap", "relp", "gim"):
        assert scores(method, task) == [slope, slope], method
    assert scores("atp-star", task) == [slope, slope]
    found = scores("eap", task, gradients_at="corrupted")
    # At (0, 0) the AND is off, the OR on, and of the saturated gate the first unit is at its kink.
    assert found == {"and": [0, 0], "or": [1, 1], "saturated": [0, 0]}[gate]
    assert scores("relp", task, gradients_at="corrupted") == found


def test_a_smooth_and() -> None:
    """GELU at x = a + b - 1 = 1: its slope is cdf(1) + pdf(1), and f(x) / x is cdf(1)."""
    task = gate_task(GATES["and"], "gelu")
    cdf, pdf = 0.8413447460685429, 0.24197072451914337
    assert scores("eap", task) == pytest.approx([cdf + pdf] * 2)
    assert scores("relp", task) == pytest.approx([cdf] * 2)
    assert scores("relp", task, rules=("ln", "half")) == pytest.approx([cdf + pdf] * 2)
    assert scores("exact", task) == pytest.approx([cdf] * 2)  # gelu(1) - gelu(0)


def test_values_hand_on_half_in_gim() -> None:
    """Into heads that read one token, which cannot look elsewhere: half, by default."""
    task = gate_task(GATES["and"])
    into = [task.graph.index(f"embed->a0.h{head}<v>") for head in (0, 1)]
    assert discover("eap", task).values[into].tolist() == [1, 1]
    assert discover("gim", task).values[into].tolist() == [0.5, 0.5]
    assert discover("gim", task, values=0.125).values[into].tolist() == [0.125, 0.125]


def certain_task(sharpness: float) -> Task:
    """A head that reads token 1 or 2, whichever its key says, at position 1 of two.

    Its query is always on; the score of position 0 is 0 and that of position 1 is the sharpness
    where the token there is 1, and minus that where it is 2. It writes 1 for what position 1 holds.
    """
    config = TransformerConfig(1, 1, 5, 1, 0, 2, 3, 2, causal=False)
    model = Transformer(config, dtype=torch.float64).requires_grad_(False)
    model.W_E[1, 0], model.W_E[2, 0] = 1, -1
    model.b_QKV[0, 0] = 1
    model.W_QKV[0, 1, 0, 0, 0] = sharpness
    model.W_pos[1, 1] = 1
    model.W_QKV[0, 2, 0, 1, 0] = 1
    model.W_O[0, 0, 0, 2] = 1
    model.W_U[2, 0] = 1
    model.b_U[1] = 0.5
    clean = torch.tensor([[0, 1]])
    return Task("certain", model, clean, torch.tensor([[0, 2]]), clean > 0, "logit_diff")


def test_attention_that_is_certain() -> None:
    """The pattern goes from p to 1 - p; its slope is p (1 - p), and at half the scores softer."""
    sharpness = 12.0
    task = certain_task(sharpness)
    edge = task.graph.index("embed->a0.h0<k>")
    p, soft = (1 / (1 + np.exp(-x)) for x in (sharpness, sharpness / 2))
    found = {
        name: discover(name, task).values[edge] for name in ("exact", "eap", "atp-star", "gim")
    }
    assert found["exact"] == pytest.approx(p - (1 - p))
    assert found["atp-star"] == pytest.approx(found["exact"])
    assert found["eap"] == pytest.approx(p * (1 - p) * 2 * sharpness)
    assert found["gim"] == pytest.approx(0.25 * soft * (1 - soft) * 2 * sharpness)
    assert discover("relp", task).values[edge] == pytest.approx(found["eap"])
    rules = ("ln", "ah", "identity", "half")
    assert discover("relp", task, rules=rules).values[edge] == 0


def test_two_ways_that_cancel() -> None:
    """m0 writes the flag; logits read it, less what m1 makes of it, which is the same."""
    config = TransformerConfig(2, 1, 3, 1, 1, 1, 2, 2, activation="relu")
    model = Transformer(config, dtype=torch.float64).requires_grad_(False)
    model.W_E[1, 0] = 1
    model.W_in[0, 0, 0] = model.W_out[0, 0, 1] = 1
    model.W_in[1, 1, 0] = model.W_out[1, 0, 2] = 1
    model.W_U[:, 0] = torch.tensor([1.0, 1.0, -1.0])
    model.b_U[1] = 0.5
    clean = torch.ones(1, 1, dtype=torch.long)
    task = Task("cancel", model, clean, 1 - clean, clean.bool(), "logit_diff")
    edges = [task.graph.index(edge) for edge in ("embed->m0", "m0->m1", "m0->logits")]
    assert discover("eap", task).values[edges].tolist() == [0, -1, 1]
    # Into m0: 1 without layer 1, and layer 0 is its own. Into m1: without layer 0, which is before
    # it. Into logits nothing is dropped, and the mean is of two that are equal.
    assert discover("atp-star", task).values[edges].tolist() == [1, 1, 1]
    assert discover("atp-star", task, drop_layers=False).values[edges].tolist() == [0, -1, 1]


def test_on_a_linear_model_they_are_exact_patching() -> None:
    task = linear_task("logit_diff")
    exact = discover("exact", task).values
    for name, options in (
        ("relp", {}),
        ("eap-gp", {}),
        ("atp-star", {"drop_layers": False}),
        ("gim", {"queries": 1.0, "keys": 1.0, "values": 1.0}),
    ):
        assert np.allclose(discover(name, task, **options).values, exact, atol=1e-10), name
