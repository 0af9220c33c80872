"""Models in classes of GPT-2's shape; `tests/clients` fills Edge-Pruning's own."""

from typing import Any

import pytest
import torch
from transformers import GPT2LMHeadModel

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import GraphError, ModelError
from knowncircuits.graph import Graph
from knowncircuits.models.interop.edge_pruning import (
    edge_pruning_names,
    from_edge_pruning_names,
    to_edge_pruning,
)
from strategies import random_model, random_tokens

SIZES: dict[str, Any] = {
    "n_layers": 2,
    "n_heads": 2,
    "d_model": 8,
    "d_head": 3,
    "d_mlp": 7,
    "n_ctx": 5,
    "d_vocab": 6,
    "d_vocab_out": 9,
}


@pytest.mark.parametrize("norm", ["none", "layer", "rms"])
def test_gpt2s_own_class_gives_the_same_logits(norm: str) -> None:
    model = random_model(TransformerConfig(**SIZES, norm=norm))
    tokens = random_tokens(model, 3, 5)
    twin = to_edge_pruning(GPT2LMHeadModel, model)
    torch.testing.assert_close(twin(tokens).logits, model(tokens))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gated": True}, "got gated MLPs"),
        ({"positions": "rotary"}, "got rotary positions"),
        ({"n_heads": 3}, "got 3 heads, d_model 8 and d_mlp 7"),
        ({"d_mlp": 0}, "got 2 heads, d_model 8 and d_mlp 0"),
        ({"causal": False}, "expected a mask in GPT2LMHeadModel's attention, got none"),
    ],
)
def test_what_the_class_lacks_is_refused(changes: dict[str, Any], message: str) -> None:
    model = random_model(TransformerConfig(**{**SIZES, **changes}))
    with pytest.raises(ModelError, match=message):
        to_edge_pruning(GPT2LMHeadModel, model)


def test_names_of_edges_there_and_back() -> None:
    edges = Graph(2, 2).edges
    assert edge_pruning_names("embed->a1.h0<v>") == ("tok_embeds", "a1.h0.v")
    assert edge_pruning_names("m0->logits") == ("m0", "resid_post")
    assert [from_edge_pruning_names(*edge_pruning_names(edge)) for edge in edges] == [*edges]
    with pytest.raises(GraphError):
        from_edge_pruning_names("m0", "a1.h0.x")
