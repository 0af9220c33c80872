"""Backward rules: values to the bit, gradients by their formulas and by hooks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.backward import PLAIN, BackwardRules, frozen, linear, scaled, tempered
from knowncircuits.errors import ModelError
from knowncircuits.models.interop.hooked import to_hooked
from strategies import Experiment, experiments, random_model

RULES = {
    "norms": BackwardRules(frozen_norms=True),
    "patterns": BackwardRules(frozen_patterns=True),
    "temperature": BackwardRules(temperature=2.0),
    "activations": BackwardRules(linear_activations=True),
    "products": BackwardRules(queries=0.25, keys=0.5, values=0.75, gates=0.5),
    "layer": BackwardRules(dropped_layer=0),
    "all": BackwardRules(True, False, 3.0, True, 0.5, 0.25, 2.0, 0.5, 0),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", RULES)
@given(experiments())
@settings(max_examples=10)
def test_values_are_the_same_to_the_bit(
    name: str, dtype: torch.dtype, experiment: Experiment
) -> None:
    model, tokens, alternative, mask = experiment.build(dtype)
    plain = model.run(tokens, alternative, mask.to(dtype))
    ruled = model.run(tokens, alternative, mask.to(dtype), RULES[name])
    assert torch.equal(plain.logits, ruled.logits)
    assert torch.equal(plain.outputs, ruled.outputs)


@pytest.mark.parametrize("name", RULES)
@given(experiments())
@settings(max_examples=10)
def test_gradients_are_those_through_hooks(name: str, experiment: Experiment) -> None:
    """Which computes them in other words: by detached hooks, and the formula of a softmax."""
    model, tokens, alternative, mask = experiment.build()
    found = []
    for run in (model.run, to_hooked(model).run):
        leaf = mask.clone().requires_grad_()
        logits = run(tokens, alternative, leaf, RULES[name]).logits
        found.append(torch.autograd.grad(logits.square().sum(), leaf)[0])
    torch.testing.assert_close(*found, atol=1e-7, rtol=1e-7)


def test_each_rule_changes_gradients_of_a_model_that_has_what_it_is_about() -> None:
    config = TransformerConfig(2, 2, 6, 3, 8, 4, 9, 3, norm="rms", gated=True, activation="silu")
    model = random_model(config)
    tokens, other = torch.arange(8).reshape(2, 1, 4)
    alternative = model.run(other).outputs.detach()
    found = []
    for rules in (PLAIN, *RULES.values()):
        mask = torch.zeros(1, model.graph.n_edges, dtype=model.dtype, requires_grad=True)
        logits = model.run(tokens, alternative, mask, rules).logits
        found.append(torch.autograd.grad(logits.square().sum(), mask)[0])
    for i, first in enumerate(found):
        assert not any(torch.allclose(first, other, atol=1e-6) for other in found[:i])
    patterns = found[1 + list(RULES).index("patterns")][0]
    letters = [d.letter for d in model.graph.destinations]
    into = torch.tensor([letters[d] in ("q", "k") for d in model.graph.destination_of_edge])
    assert not patterns[into].any()
    assert patterns[~into].any()


def gradient(function: Any, x: Tensor, outer: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(x), x, outer)
    return found


def test_rules_are_their_formulas() -> None:
    generator = torch.Generator().manual_seed(0)
    x, outer, weight = torch.randn(3, 5, 7, generator=generator, dtype=torch.float64)

    def softened(x: Tensor) -> Tensor:
        return tempered(x.softmax(-1), x, 2.0, -1)

    soft = (x / 2).softmax(-1)  # as in GIM: s (g - sum of s g), not divided by the temperature
    wanted = soft * (outer - (soft * outer).sum(-1, keepdim=True))
    torch.testing.assert_close(gradient(softened, x, outer), wanted)
    plain = gradient(lambda x: tempered(x.softmax(-1), x, 1.0, -1), x, outer)
    torch.testing.assert_close(plain, gradient(lambda x: x.softmax(-1), x, outer))

    spread = x.var(-1, correction=0, keepdim=True).add(0.01).sqrt()
    scaled_back = outer * weight[0] / spread
    centred = gradient(lambda x: frozen(x, x, weight[0], 0.01, centred=True), x, outer)
    torch.testing.assert_close(centred, scaled_back - scaled_back.mean(-1, keepdim=True))
    size = x.square().mean(-1, keepdim=True).add(0.01).sqrt()
    about_zero = gradient(lambda x: frozen(x, x, weight[0], 0.01, centred=False), x, outer)
    torch.testing.assert_close(about_zero, outer * weight[0] / size)

    x[0, 0] = 0
    gelu = torch.nn.functional.gelu
    wanted = outer * torch.distributions.Normal(0, 1).cdf(x)  # GELU is x times it
    wanted[0, 0] = 0
    torch.testing.assert_close(gradient(lambda x: linear(x, gelu(x)), x, outer), wanted)
    torch.testing.assert_close(gradient(lambda x: scaled(x, 0.25), x, outer), outer / 4)


def test_a_dropped_layer_hands_nothing_on() -> None:
    """All that is left are the ways around it: of two layers, the first one straight to logits."""
    model = random_model(TransformerConfig(2, 1, 5, 2, 6, 3, 7, 2))
    tokens, other = torch.arange(6).reshape(2, 1, 3)
    alternative = model.run(other).outputs.detach()
    mask = torch.zeros(1, model.graph.n_edges, dtype=model.dtype, requires_grad=True)
    logits = model.run(tokens, alternative, mask, BackwardRules(dropped_layer=1)).logits
    (found,) = torch.autograd.grad(logits.sum(), mask)
    layers = [-1 if d == "logits" else d.node.layer for d in model.graph.destinations]
    into = torch.tensor([layers[d] for d in model.graph.destination_of_edge])
    assert not found[0, into == 1].any()
    assert found[0, into != 1].any()


def test_wrong_rules() -> None:
    with pytest.raises(ModelError, match="expected a temperature above 0, got 0"):
        BackwardRules(temperature=0)
    with pytest.raises(ModelError, match=r"expected gates of at least 0, got -0\.5"):
        BackwardRules(gates=-0.5)
