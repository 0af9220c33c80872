"""TransformerLens's configurations and state dicts come in as they go out."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ModelError
from knowncircuits.models.interop.hooked import lens_config, lens_state_dict
from knowncircuits.models.interop.lens import from_lens_config, from_lens_state_dict
from knowncircuits.transformer import Transformer
from strategies import configs, random_model, random_tokens

CONFIG = TransformerConfig(2, 3, 6, 5, 7, 4, 8, 9, norm="layer")


def fields(**changes: Any) -> dict[str, Any]:
    return {**vars(lens_config(Transformer(CONFIG))), **changes}


OURS = {"norm": "rms", "gated": True, "positions": "rotary"}  # kinds that come from nowhere else


@given(
    configs().filter(lambda c: not OURS.items() & vars(c).items()),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_there_and_back(config: TransformerConfig, dtype: torch.dtype) -> None:
    model = random_model(config, dtype=dtype)
    assert from_lens_config(vars(lens_config(model))) == config
    back = from_lens_state_dict(lens_state_dict(model), config)
    assert back.config == config
    assert back.dtype == dtype
    weights = dict(back.named_parameters())
    assert weights.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(weights[name], w) for name, w in model.named_parameters())


def test_the_weights_are_copies() -> None:
    state = lens_state_dict(random_model(CONFIG))
    model = from_lens_state_dict(state, CONFIG)
    before = model(random_tokens(model, 2, 4))
    for tensor in state.values():
        tensor.zero_()
    assert torch.equal(model(random_tokens(model, 2, 4)), before)


def test_norms_without_weights_have_gains_of_one() -> None:
    model = random_model(CONFIG)
    with torch.no_grad():
        model.ln_w.fill_(1)
        model.ln_b.fill_(0)
    state = {name: w for name, w in lens_state_dict(model).items() if "ln" not in name}
    tokens = random_tokens(model, 2, 4)
    assert torch.equal(from_lens_state_dict(state, CONFIG)(tokens), model(tokens))
    assert from_lens_config(fields(normalization_type="LNPre")) == CONFIG


def test_the_masks_buffers_are_left_out() -> None:
    state = lens_state_dict(random_model(CONFIG))
    for layer in range(2):
        state[f"blocks.{layer}.attn.mask"] = torch.ones(4, 4, dtype=torch.bool).tril()
        state[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-torch.inf)
    from_lens_state_dict(state, CONFIG)
    state["blocks.2.attn.mask"] = state["blocks.0.attn.mask"]
    with pytest.raises(ModelError, match=r"1 unknown \(blocks.2.attn.mask\)"):
        from_lens_state_dict(state, CONFIG)


def test_what_older_configurations_lack_is_off() -> None:
    old = fields()
    del old["attn_scores_soft_cap"], old["attn_scale"]
    assert from_lens_config(old) == CONFIG


def test_as_many_outputs_as_tokens() -> None:
    assert from_lens_config(fields(d_vocab_out=-1)).d_vocab_out == CONFIG.d_vocab


@pytest.mark.parametrize("activation", [None, "relu"])
def test_attention_only(activation: str | None) -> None:
    config = from_lens_config(fields(attn_only=True, d_mlp=None, act_fn=activation))
    assert config.d_mlp == 0


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("positional_embedding_type", "rotary", "'standard'"),
        ("parallel_attn_mlp", True, "False"),
        ("gated_mlp", True, "False"),
        ("num_experts", 4, "None"),
        ("use_attn_scale", False, "True"),
        ("attn_scale", 3.0, "-1.0 or 2.23"),
        ("n_key_value_heads", 1, "None or 3"),
        ("output_logits_soft_cap", 30.0, "-1.0"),
        ("normalization_type", "RMS", "None or 'LN' or 'LNPre'"),
        ("attention_dir", "up", "'causal' or 'bidirectional'"),
        ("act_fn", "tanh", "'relu' or 'gelu' or 'gelu_new' or 'silu'"),
        ("act_fn", None, "'relu' or 'gelu' or 'gelu_new' or 'silu'"),
        ("act_fn", ["x"] * 9999, "'relu' or 'gelu' or 'gelu_new' or 'silu', got list"),
        ("d_mlp", None, "a whole number"),
        ("n_layers", True, "a whole number"),
        ("d_head", 10**400, "below 2147483648, got int"),
        ("eps", "1e-5", "a number"),
        ("d_vocab_out", -2, "at least 1"),
    ],
)
def test_choices_that_ours_lacks(field: str, value: object, expected: str) -> None:
    with pytest.raises(ModelError, match=f"expected {field} .*{expected}.*"):
        from_lens_config(fields(**{field: value}))


def test_missing_fields() -> None:
    partial = fields()
    del partial["d_model"], partial["eps"]
    with pytest.raises(ModelError, match="expected a configuration with d_model, eps"):
        from_lens_config(partial)


def test_wrong_weights_are_all_named() -> None:
    state = lens_state_dict(random_model(CONFIG))
    state["blocks.0.attn._W_K"] = state.pop("blocks.0.attn.W_K")
    state["embed.W_E"] = state["embed.W_E"][1:]
    state["unembed.b_U"] = state["unembed.b_U"].int()
    with pytest.raises(ModelError) as caught:
        from_lens_state_dict(state, CONFIG)
    assert str(caught.value) == (
        "expected a HookedTransformer's weights, got 1 unknown (blocks.0.attn._W_K); "
        "1 missing (blocks.0.attn.W_K); embed.W_E of shape [7, 6] for [8, 6]; "
        "unembed.b_U of type torch.int32 for floating point"
    )


def test_sizes_that_no_weights_have_cost_nothing() -> None:
    huge = TransformerConfig(10**9, 3, 6, 5, 7, 4, 8, 9)
    with pytest.raises(ModelError, match="weights of 1000000000 layers, got 38 tensors"):
        from_lens_state_dict(lens_state_dict(random_model(CONFIG)), huge)
    wide = TransformerConfig(2, 3, 10**12, 5, 7, 4, 8, 9, norm="layer")
    with pytest.raises(ModelError, match=r"of shape \[6\] for \[1000000000000\]"):
        from_lens_state_dict(lens_state_dict(random_model(CONFIG)), wide)
