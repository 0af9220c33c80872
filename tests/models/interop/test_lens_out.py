"""Models as files of TransformerLens 1 to 3; `tests/clients` loads them with these libraries."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

import knowncircuits as kc
from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ArgumentError, ModelError
from knowncircuits.models.interop.lens import from_lens_config, from_lens_state_dict
from knowncircuits.models.interop.lens_out import export_lens, strict_state_dict
from knowncircuits.models.interop.tokenizer import tokenizer_files
from knowncircuits.rasp.vocabulary import Vocabulary
from strategies import random_model, random_tokens

SIZES: dict[str, Any] = {
    "n_layers": 2,
    "n_heads": 3,
    "d_model": 6,
    "d_head": 4,
    "d_mlp": 7,
    "n_ctx": 5,
    "d_vocab": 8,
    "d_vocab_out": 9,
}


def make(**changes: Any) -> kc.Transformer:
    return random_model(TransformerConfig(**{**SIZES, **changes}))


@pytest.mark.parametrize("changes", [{}, {"norm": "layer"}, {"causal": False}, {"d_mlp": 0}])
def test_the_files_make_the_model_again(changes: dict[str, Any], tmp_path: Path) -> None:
    model = make(**changes)
    export_lens(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lens_config.json",
        "lens_weights.safetensors",
    ]
    fields = json.loads((tmp_path / "lens_config.json").read_text())
    assert fields["use_attn_result"]
    assert fields["use_split_qkv_input"]
    assert fields["use_hook_mlp_in"]
    config = from_lens_config(fields)
    state = load_file(tmp_path / "lens_weights.safetensors")
    tokens = random_tokens(model, 3, 5)
    assert torch.equal(from_lens_state_dict(state, config)(tokens), model(tokens))


def test_a_strict_load_finds_the_buffers_of_heads() -> None:
    state = strict_state_dict(make())
    for layer in range(2):
        mask = state[f"blocks.{layer}.attn.mask"]
        assert mask.dtype == torch.bool
        assert mask.tolist() == [[key <= query for key in range(5)] for query in range(5)]
        assert state[f"blocks.{layer}.attn.IGNORE"] == -math.inf


def test_rotary_buffers_are_angles() -> None:
    state = strict_state_dict(make(positions="rotary"))
    for position in range(5):
        for number, plane in enumerate((0, 0, 1, 1)):
            angle = position / 10_000 ** (2 * plane / 4)
            for name, function in (("sin", math.sin), ("cos", math.cos)):
                got = state[f"blocks.1.attn.rotary_{name}"][position, number]
                assert float(got) == pytest.approx(function(angle), abs=1e-6)
    assert "pos_embed.W_pos" not in state


def test_a_gate_has_no_bias_there() -> None:
    model = make(gated=True, activation="silu")
    with pytest.raises(ModelError, match="without biases before the product.*b_gate in layer 0"):
        strict_state_dict(model)
    with torch.no_grad():
        model.b_gate.zero_()
        model.b_in.zero_()
    state = strict_state_dict(model)
    assert "blocks.0.mlp.W_gate" in state
    assert "blocks.0.mlp.b_gate" not in state


@pytest.mark.parametrize("name", ["histogram", "balanced_parentheses", "sort"])
def test_the_tokenizer_has_our_ids(name: str, tmp_path: Path) -> None:
    compiled = kc.load_case(name).compile()
    kc.export_lens(compiled, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    inputs = [
        [compiled.vocabulary.tokens[code] for code in row] for row in compiled.draw_codes(9, 0)
    ]
    texts = [" ".join(map(str, tokens)) for tokens in inputs]
    assert tokenizer(texts)["input_ids"] == compiled.encode(inputs).tolist()
    assert tokenizer(texts, add_special_tokens=False)["input_ids"] == [
        ids[1:] for ids in compiled.encode(inputs).tolist()
    ]
    assert (tokenizer.bos_token_id, tokenizer.padding_side) == (0, "right")


def test_shorter_texts_are_filled_up_with_pad(tmp_path: Path) -> None:
    vocabulary = Vocabulary(("a", "b"), max_len=4, pad=True)
    export_lens(make(d_vocab=4), tmp_path, vocabulary=vocabulary)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    found = tokenizer(["a b b", "b"], padding=True)
    assert found["input_ids"] == vocabulary.encode([["a", "b", "b"], ["b"]]).tolist()
    assert found["attention_mask"] == [[1, 1, 1, 1], [1, 1, 0, 0]]
    with pytest.raises(Exception, match="UNK"):
        tokenizer("c")


@pytest.mark.parametrize("tokens", [("a b", "c"), (1, "1"), ("", "a")])
def test_tokens_that_are_no_words(tokens: tuple[Any, ...]) -> None:
    with pytest.raises(ModelError, match="expected tokens that are distinct words"):
        tokenizer_files(Vocabulary(tokens, max_len=3))


@pytest.mark.usefixtures("no_shape_checks")
def test_trained_models_and_others(tmp_path: Path) -> None:
    trained = kc.load_model("fraction_of_x")
    kc.export_lens(trained, tmp_path / "trained")
    kc.export_lens(trained.model, tmp_path / "model", vocabulary=trained.compiled.vocabulary)
    for path in (tmp_path / "trained").iterdir():
        assert path.read_bytes() == (tmp_path / "model" / path.name).read_bytes()
    with pytest.raises(ArgumentError, match="expected model to be Transformer, got str"):
        kc.export_lens("sort", tmp_path)  # type: ignore[arg-type]
