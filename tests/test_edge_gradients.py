"""Gradients of one stream at every destination, against those of the primitive's mask."""

import pytest
import torch
from hypothesis import given, settings

from knowncircuits.architecture import TransformerConfig
from knowncircuits.backward import PLAIN, BackwardRules
from knowncircuits.edge_gradients import EdgeProducts, walk_back
from knowncircuits.errors import ModelError
from strategies import Experiment, experiments, random_model, random_tokens

RULES = (
    PLAIN,
    BackwardRules(frozen_norms=True, frozen_patterns=True, linear_activations=True, gates=0.5),
    BackwardRules(frozen_norms=True, temperature=2.0, queries=0.25, keys=0.5, values=0.75),
)


@pytest.mark.parametrize("rules", RULES)
@given(experiments())
@settings(max_examples=25)
def test_products_are_the_masks_gradients(rules: BackwardRules, experiment: Experiment) -> None:
    """Pair by pair, of two runs of each, in every kind of model."""
    model, tokens, alternative, _ = experiment.build()
    n_pairs, n_inputs = len(tokens), len(model.graph.inputs)
    run = model.run(tokens)
    differences = (alternative - run.outputs).detach()
    mask = torch.zeros(n_pairs, model.graph.n_edges, dtype=model.dtype, requires_grad=True)
    logits = model.run(tokens, run.outputs.detach() + differences, mask, rules).logits
    (wanted,) = torch.autograd.grad(logits.square().sum(), mask)
    products = EdgeProducts(model.graph, differences)
    stream = run.outputs[:, :n_inputs].sum(1).repeat(2, 1, 1)
    walk_back(model, stream, lambda end: model.unembed(end, rules).square().sum(), products, rules)
    torch.testing.assert_close(products.by_pair, 2 * wanted, atol=1e-10, rtol=1e-10)


def test_a_walk_from_a_later_layer_sees_what_is_behind() -> None:
    model = random_model(TransformerConfig(3, 2, 6, 3, 8, 4, 9, 3, norm="layer"))
    tokens = random_tokens(model, 2, 4)
    outputs = model.run(tokens).outputs
    found: dict[int, dict[int, torch.Tensor]] = {}
    for layer, n_before in ((0, 2), (2, 8)):
        blocks = found.setdefault(layer, {})
        stream = outputs[:, :n_before].sum(1) + model.b_O[:layer].sum(0)
        walk_back(
            model,
            stream,
            lambda end: model.unembed(end).square().sum(),
            lambda block, gradients, seen=blocks: seen.update({block.start: gradients}),
            layer=layer,
        )
    assert len(found[0]) == len(model.graph.blocks) == 13
    assert len(found[2]) == 5
    for start, gradients in found[2].items():
        torch.testing.assert_close(gradients, found[0][start], atol=1e-10, rtol=1e-10)


def test_a_dropped_layer_has_no_single_stream() -> None:
    model = random_model(TransformerConfig(1, 1, 2, 2, 0, 2, 3, 2))
    with pytest.raises(ModelError, match="without a dropped layer"):
        walk_back(
            model,
            torch.zeros(1, 2, 2, dtype=model.dtype),
            torch.sum,
            lambda *_: None,
            BackwardRules(dropped_layer=0),
        )
