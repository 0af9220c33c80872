"""The hooked twin offers what circuit code written for HookedTransformer uses."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from knowncircuits.architecture import TransformerConfig
from knowncircuits.choices import Norm
from knowncircuits.errors import ModelError
from knowncircuits.models.interop.hooked import HookedTwin, to_hooked
from knowncircuits.models.interop.hooks import destination_hooks, source_hooks
from knowncircuits.transformer import Transformer
from strategies import random_model, random_tokens

BATCH, POS, HEAD, D_MODEL, D_HEAD, D_MLP = 2, 4, 3, 6, 5, 7


def make_model(**changes: Any) -> Transformer:
    sizes: dict[str, Any] = {
        "n_layers": 2,
        "n_heads": HEAD,
        "d_model": D_MODEL,
        "d_head": D_HEAD,
        "d_mlp": D_MLP,
        "n_ctx": POS + 1,
        "d_vocab": 8,
        "d_vocab_out": 9,
        "norm": "layer",
    }
    return random_model(TransformerConfig(**{**sizes, **changes}))


@pytest.fixture
def model() -> Transformer:
    return make_model()


@pytest.fixture
def twin(model: Transformer) -> HookedTwin:
    return to_hooked(model)


def tokens_for(model: Transformer) -> Tensor:
    return random_tokens(model, BATCH, POS)


def test_cache_shapes(model: Transformer, twin: HookedTwin) -> None:
    resid, heads = (BATCH, POS, D_MODEL), (BATCH, POS, HEAD, D_MODEL)
    inner, square = (BATCH, POS, HEAD, D_HEAD), (BATCH, HEAD, POS, POS)
    block = {
        **dict.fromkeys(["hook_resid_pre", "hook_resid_mid", "hook_resid_post"], resid),
        **dict.fromkeys(["hook_attn_out", "hook_mlp_in", "hook_mlp_out"], resid),
        **dict.fromkeys(["hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input"], heads),
        **dict.fromkeys(["attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_z"], inner),
        **dict.fromkeys(["attn.hook_attn_scores", "attn.hook_pattern"], square),
        "attn.hook_result": heads,
        **dict.fromkeys(["mlp.hook_pre", "mlp.hook_post"], (BATCH, POS, D_MLP)),
        "ln1.hook_scale": (BATCH, POS, HEAD, 1),
        "ln1.hook_normalized": heads,
        "ln2.hook_scale": (BATCH, POS, 1),
        "ln2.hook_normalized": resid,
    }
    wanted = {f"blocks.{i}.{name}": shape for i in range(2) for name, shape in block.items()}
    wanted |= dict.fromkeys(["hook_embed", "hook_pos_embed", "ln_final.hook_normalized"], resid)
    wanted["ln_final.hook_scale"] = (BATCH, POS, 1)
    logits, cache = twin.run_with_cache(tokens_for(model))
    assert {name: tuple(value.shape) for name, value in cache.items()} == wanted
    torch.testing.assert_close(logits, model(tokens_for(model)))


def test_weights(twin: HookedTwin) -> None:
    shapes = {
        "W_E": (8, D_MODEL),
        "W_pos": (POS + 1, D_MODEL),
        **dict.fromkeys(["W_Q", "W_K", "W_V"], (2, HEAD, D_MODEL, D_HEAD)),
        **dict.fromkeys(["b_Q", "b_K", "b_V"], (2, HEAD, D_HEAD)),
        "W_O": (2, HEAD, D_HEAD, D_MODEL),
        "b_O": (2, D_MODEL),
        "W_in": (2, D_MODEL, D_MLP),
        "b_in": (2, D_MLP),
        "W_out": (2, D_MLP, D_MODEL),
        "b_out": (2, D_MODEL),
        "W_U": (D_MODEL, 9),
        "b_U": (9,),
    }
    assert {name: tuple(getattr(twin, name).shape) for name in shapes} == shapes
    layer = ["attn.W_Q", "attn.b_O", "mlp.W_in", "mlp.b_out", "ln1.w", "ln1.b", "ln2.w"]
    names = [f"blocks.1.{name}" for name in layer]
    names += ["embed.W_E", "pos_embed.W_pos", "ln_final.w", "unembed.W_U", "unembed.b_U"]
    assert set(names) <= set(twin.state_dict())
    assert not hasattr(to_hooked(make_model(d_mlp=0)), "W_in")


@pytest.mark.parametrize(
    ("causal", "norm", "d_mlp"), [(True, "layer", 7), (True, "rms", 7), (False, "none", 0)]
)
def test_config(causal: bool, norm: Norm, d_mlp: int) -> None:
    model = make_model(causal=causal, norm=norm, d_mlp=d_mlp)
    cfg = to_hooked(model).cfg
    assert (cfg.n_layers, cfg.n_heads, cfg.d_model, cfg.d_head) == (2, HEAD, D_MODEL, D_HEAD)
    assert (cfg.d_mlp, cfg.n_ctx, cfg.d_vocab, cfg.d_vocab_out) == (d_mlp, POS + 1, 8, 9)
    assert cfg.attention_dir == ("causal" if causal else "bidirectional")
    assert cfg.normalization_type == {"layer": "LN", "rms": "RMS", "none": None}[norm]
    assert (cfg.act_fn, cfg.attn_only) == ("gelu", d_mlp == 0)
    assert (cfg.device, cfg.dtype) == ("cpu", torch.float64)
    assert cfg.use_split_qkv_input
    assert cfg.use_attn_result
    assert cfg.use_hook_mlp_in


def test_inputs_can_be_changed_in_place_one_by_one(model: Transformer, twin: HookedTwin) -> None:
    seen: dict[str, Tensor] = {}

    def zero_head_1(value: Tensor, hook: HookPoint) -> Tensor:
        value[:, :, 1] = 0
        return value

    def see(value: Tensor, hook: HookPoint) -> None:
        seen[str(hook.name)] = value.clone()

    def is_changed(name: str) -> bool:
        return not torch.equal(seen[f"blocks.0.{name}"], cache[f"blocks.0.{name}"])

    tokens = tokens_for(model)
    _, cache = twin.run_with_cache(tokens)
    with twin.hooks([("blocks.0.hook_k_input", zero_head_1), (lambda name: True, see)]):
        twin(tokens)
    assert torch.equal(
        seen["blocks.0.attn.hook_k"][:, :, 0], cache["blocks.0.attn.hook_k"][:, :, 0]
    )
    assert is_changed("attn.hook_k")
    assert not is_changed("attn.hook_q")
    assert not is_changed("attn.hook_v")
    assert not is_changed("hook_resid_pre")
    torch.testing.assert_close(twin(tokens), model(tokens))  # the hooks are gone


def test_gradients_at_hooks(model: Transformer, twin: HookedTwin) -> None:
    seen: dict[str, Tensor] = {}

    def see(gradient: Tensor, hook: HookPoint) -> None:
        seen[str(hook.name)] = gradient

    names = [*source_hooks(twin.graph), *destination_hooks(twin.graph)]
    with twin.hooks(bwd_hooks=[(name, see) for name in names]):
        twin(tokens_for(model)).square().sum().backward()
    assert set(seen) == set(names)
    assert all(gradient.any() for gradient in seen.values())


def test_the_copy_is_apart(model: Transformer, twin: HookedTwin) -> None:
    before = model(tokens_for(model))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(model(tokens_for(model)), before)


def test_flags(twin: HookedTwin) -> None:
    for flag in ("use_split_qkv_input", "use_attn_result", "use_hook_mlp_in"):
        switch = getattr(twin, f"set_{flag}")
        switch(True)
        with pytest.raises(ModelError, match=f"expected {flag}=True.*got False"):
            switch(False)
