"""Models as Hugging Face models; `tests/clients` uses them in nnterp and pyvene."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import knowncircuits as kc
from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ModelError
from knowncircuits.models.interop.hugging_face import export_hugging_face, to_hugging_face
from strategies import random_model, random_tokens

SIZES: dict[str, Any] = {
    "n_layers": 2,
    "n_heads": 3,
    "d_model": 8,
    "d_head": 4,
    "d_mlp": 7,
    "n_ctx": 5,
    "d_vocab": 6,
    "d_vocab_out": 9,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"causal": False},
        {"norm": "layer"},
        {"norm": "rms", "activation": "gelu_new"},
        {"d_mlp": 0},
    ],
    ids=str,
)
def test_logits_are_equal(changes: dict[str, Any]) -> None:
    model = random_model(TransformerConfig(**{**SIZES, **changes}))
    tokens = random_tokens(model, 3, 5)
    torch.testing.assert_close(to_hugging_face(model)(tokens).logits, model(tokens))


def test_a_folder_is_read_by_auto_classes(tmp_path: Path) -> None:
    compiled = kc.load_case("histogram").compile()
    export_hugging_face(compiled, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json"}
    read = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokens = compiled.draw(4, seed=0)
    torch.testing.assert_close(read(tokens).logits, compiled.model(tokens))
    words = [str(compiled.vocabulary.tokens[i - 1]) for i in tokens[0, 1:].tolist()]
    assert (
        AutoTokenizer.from_pretrained(tmp_path)(" ".join(words))["input_ids"] == tokens[0].tolist()
    )


def test_masked_positions_are_not_attended_to() -> None:
    model = random_model(TransformerConfig(**SIZES, causal=False))
    tokens = random_tokens(model, 2, 5)
    mask = torch.tensor([[1, 1, 1, 0, 0]]).expand(2, -1)
    masked = to_hugging_face(model)(tokens, attention_mask=mask).logits[:, :3]
    torch.testing.assert_close(masked, model(tokens[:, :3]))


@pytest.mark.parametrize(
    ("changes", "got"),
    [({"gated": True}, "gated MLPs"), ({"positions": "rotary"}, "rotary positions")],
)
def test_what_it_lacks_is_refused(changes: dict[str, Any], got: str) -> None:
    model = random_model(TransformerConfig(**{**SIZES, **changes}))
    with pytest.raises(ModelError, match=f"expected .* learned positions, got {got}"):
        to_hugging_face(model)
