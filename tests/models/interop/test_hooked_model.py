"""What else HookedTransformer offers, on the hooked twin: text, masks, parts of a run, caches."""

from typing import Any

import pytest
import torch
from torch.nn import functional
from transformer_lens import ActivationCache, patching
from transformer_lens.utilities import get_attention_mask

import knowncircuits as kc
from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import InputError, ModelError
from knowncircuits.models.interop.hooked import HookedTwin, lens_config, to_hooked
from knowncircuits.rasp.vocabulary import Vocabulary
from strategies import random_model, random_tokens

WORDS = Vocabulary(("a", "b", "c"), max_len=4, pad=True)


def make(**changes: Any) -> HookedTwin:
    sizes: dict[str, Any] = {
        "n_layers": 3,
        "n_heads": 2,
        "d_model": 6,
        "d_head": 4,
        "d_mlp": 7,
        "n_ctx": 5,
        "d_vocab": WORDS.size,
        "d_vocab_out": WORDS.size,
        "norm": "layer",
    }
    model = random_model(TransformerConfig(**{**sizes, **changes}))
    return to_hooked(model, vocabulary=WORDS)


@pytest.fixture(scope="module")
def twin() -> HookedTwin:
    return make()


def test_text_is_tokens(twin: HookedTwin) -> None:
    texts = ["a b b", "c"]
    expected = torch.from_numpy(WORDS.encode([["a", "b", "b"], ["c"]]))
    assert torch.equal(twin.to_tokens(texts), expected)
    assert twin.to_tokens(texts, prepend_bos=False).tolist() == [[1, 2, 2], [3, 4, 4]]
    assert twin.to_tokens(texts, padding_side="left").tolist() == [[0, 1, 2, 2], [4, 4, 0, 3]]
    assert twin.to_tokens("a a a a a a a").shape == (1, 5)  # truncated
    assert twin.to_string(expected) == ["<bos> a b b", "<bos> c <pad> <pad>"]
    assert twin.to_str_tokens("c a") == ["<bos>", "c", "a"]
    assert twin.to_str_tokens(["c a"]) == [["<bos>", "c", "a"]]
    assert (twin.to_single_token("b"), twin.to_single_str_token(2)) == (2, "b")
    assert torch.equal(twin.tokens_to_residual_directions("b"), twin.W_U[:, 2])
    assert torch.equal(twin(texts), twin(expected))
    with pytest.raises(InputError, match=r"expected words among .*a, b, c.*, got x, y"):
        twin.to_tokens(["a x", "y"])
    with pytest.raises(InputError, match="expected one token, got 'a b'"):
        twin.to_single_token("a b")


def test_text_needs_a_vocabulary() -> None:
    trained = kc.load_model("fraction_of_x")
    assert trained.to_hooked().to_tokens("a x").tolist() == trained.compiled.encode(["ax"]).tolist()
    with pytest.raises(ModelError, match="expected a model with a tokenizer"):
        to_hooked(trained.model)("a x")


@pytest.mark.parametrize("causal", [True, False])
def test_no_head_attends_to_what_is_masked(causal: bool) -> None:
    twin = make(causal=causal)
    tokens = twin.to_tokens(["a b b", "c a"])
    mask = get_attention_mask(twin.tokenizer, tokens, prepend_bos=True)
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    padded = twin(tokens, attention_mask=mask)
    torch.testing.assert_close(padded[1, :3], twin("c a")[0])
    torch.testing.assert_close(padded[0], twin("a b b")[0])
    with pytest.raises(ModelError, match=r"mask of shape \[2, 4\], got \[2, 3\]"):
        twin(tokens, attention_mask=mask[:, :3])


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
def test_a_run_in_two_parts(twin: HookedTwin, layer: int) -> None:
    tokens = torch.tensor([[0, 1, 2], [0, 3, 1]])
    resid = twin(tokens, stop_at_layer=layer)
    _, cache = twin.run_with_cache(tokens)
    assert torch.equal(resid, cache["resid_pre", layer % 3])
    torch.testing.assert_close(twin(resid, start_at_layer=layer), twin(tokens))
    assert twin(tokens, return_type=None) is None


def test_loss_is_that_of_the_next_token(twin: HookedTwin) -> None:
    tokens = torch.tensor([[0, 1, 2, 2], [0, 3, 1, 4]])
    logits, loss = twin(tokens, return_type="both")
    each = functional.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
    torch.testing.assert_close(loss, each.mean())
    torch.testing.assert_close(twin(tokens, return_type="loss", loss_per_token=True), each)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    logits = twin(tokens, attention_mask=mask)
    each = functional.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
    expected = (each[0].sum() + each[1, :2].sum()) / 5
    torch.testing.assert_close(twin(tokens, "loss", attention_mask=mask), expected)
    resid = twin(tokens, stop_at_layer=1)
    with pytest.raises(ModelError, match="expected tokens for the loss"):
        twin(resid, return_type="loss", start_at_layer=1)


def test_the_cache_takes_a_residual_stream_apart(twin: HookedTwin) -> None:
    tokens = torch.tensor([[0, 1, 2, 2], [0, 3, 1, 4]])
    _, cache = twin.run_with_cache(tokens)
    assert isinstance(cache, ActivationCache)
    parts, names = cache.decompose_resid(return_labels=True)
    assert names[:2] == ["embed", "pos_embed"]
    torch.testing.assert_close(parts.sum(0), cache["resid_post", 2])
    heads = cache.stack_head_results(layer=3)
    biases = twin.accumulated_bias(3, include_mlp_biases=False)
    written = sum(cache["attn_out", layer] for layer in range(3))
    torch.testing.assert_close(heads.sum(0) + biases, written)
    plain = twin.run_with_cache(tokens, return_cache_object=False)[1]
    assert type(plain) is dict
    _, one = twin.run_with_cache(tokens[:1], remove_batch_dim=True)
    assert one["resid_post", 0].shape == (4, 6)


def test_biases_add_up_layer_by_layer(twin: HookedTwin) -> None:
    first, second = twin.blocks[0], twin.blocks[1]
    before = first.attn.b_O + first.mlp.b_out
    assert torch.equal(twin.accumulated_bias(0), torch.zeros(6))
    assert torch.equal(twin.accumulated_bias(1), before)
    torch.testing.assert_close(twin.accumulated_bias(1, mlp_input=True), before + second.attn.b_O)


def test_factored_weights_and_names(twin: HookedTwin) -> None:
    torch.testing.assert_close(twin.QK.AB[2, 1], twin.W_Q[2, 1] @ twin.W_K[2, 1].T)
    torch.testing.assert_close(twin.OV.AB[0, 1], twin.W_V[0, 1] @ twin.W_O[0, 1])
    assert torch.equal(twin.W_E_pos, torch.cat([twin.W_E, twin.W_pos]))
    assert twin.all_head_labels() == ["L0H0", "L0H1", "L1H0", "L1H1", "L2H0", "L2H1"]
    assert twin.config is twin.cfg
    assert twin.device == torch.device("cpu")


def test_transformer_lens_patches_twins_and_bridges() -> None:
    """Its answer is ours: every residual stream in turn reads another input's."""
    model = random_model(TransformerConfig(2, 2, 6, 4, 7, 5, 5, 5))
    clean, corrupted = random_tokens(model, 1, 4), random_tokens(model, 1, 4, seed=1)
    found = []
    for wrapped in (to_hooked(model), kc.to_transformer_lens(model)):
        assert not any(module.training for module in wrapped.modules())
        _, cache = wrapped.run_with_cache(clean)
        found.append(
            patching.get_act_patch_resid_pre(wrapped, corrupted, cache, lambda x: x[0, -1, 0])
        )
    torch.testing.assert_close(*found)
    last_clean = model(torch.cat([corrupted[:, :3], clean[:, 3:]], 1)).detach()
    torch.testing.assert_close(found[0][0, 3], last_clean[0, -1, 0], check_dtype=False)


def test_as_many_outputs_as_tokens() -> None:
    cfg = lens_config(random_model(TransformerConfig(1, 1, 4, 4, 7, 5, 6, 6)))
    cfg.d_vocab_out = -1
    assert HookedTwin(cfg).W_U.shape == (4, 6)


@pytest.mark.usefixtures("no_shape_checks")
def test_more_flags(twin: HookedTwin) -> None:
    twin.set_use_attn_in(True)
    twin.set_ungroup_grouped_query_attention(True)
    with pytest.raises(ModelError, match="expected use_attn_in=True"):
        twin.set_use_attn_in(False)
    with pytest.raises(ModelError, match="no cache of keys"):
        twin("a", past_kv_cache=[])  # type: ignore[arg-type]
