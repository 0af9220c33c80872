"""Out to TransformerLens and in from it, without a network: the models are built from configs."""

from copy import deepcopy
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from quick_methods import OURS_ONLY, QUICK
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

import knowncircuits as kc
from knowncircuits.architecture import TransformerConfig
from knowncircuits.backward import BackwardRules
from knowncircuits.errors import ModelError, ShapeError
from knowncircuits.evaluation.methods import METHODS
from knowncircuits.evaluation.task import Task
from knowncircuits.graph import Graph
from knowncircuits.models.interop.bridge import BridgedModel, to_transformer_lens
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.rule_hooks import backward_rules
from knowncircuits.transformer import Transformer
from strategies import configs, random_model, random_tokens

LLAMA = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 16,
    "intermediate_size": 24,
    "max_position_embeddings": 8,
    "vocab_size": 11,
}


def close(got: Tensor, wanted: Tensor, atol: float) -> None:
    torch.testing.assert_close(got, wanted, atol=atol, rtol=atol)  # gates make large numbers


RULES = (
    BackwardRules(frozen_norms=True),
    BackwardRules(frozen_patterns=True, dropped_layer=1),
    BackwardRules(temperature=2.0),
    BackwardRules(linear_activations=True, gates=0.5),
    BackwardRules(queries=0.25, keys=0.5, values=0.75, gates=0.5, dropped_layer=0),
)


def assert_same_rules(bridged: BridgedModel, ours: Transformer, rules: BackwardRules) -> None:
    """Gradients under the rules are ours, and no value moves by a bit."""
    tokens, other = random_tokens(ours, 3, 5), random_tokens(ours, 3, 5, seed=1)
    alternative = ours.run(other).outputs.detach()
    found = []
    for model in (bridged, ours):
        mask = torch.zeros(3, ours.graph.n_edges, dtype=torch.float64, requires_grad=True)
        run = model.run(tokens, alternative, mask, rules)
        found.append(torch.autograd.grad(run.logits.square().sum(), mask)[0])
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-4)  # HF's RMSNorm is in float32
    assert found[0].abs().max() > 1
    plain = bridged.run(tokens, alternative, mask)
    assert torch.equal(bridged.run(tokens, alternative, mask, rules).logits, plain.logits)


def build_bridge(model: Any, dtype: torch.dtype = torch.float64) -> TransformerBridge:
    architecture = type(model).__name__
    return build_bridge_from_module(model.to(dtype).eval(), architecture, hf_config=model.config)


class TestOut:
    @given(configs())
    @settings(max_examples=20)
    def test_logits_and_residual_stream(self, config: TransformerConfig) -> None:
        model = random_model(config)
        tokens = random_tokens(model, 2, config.n_ctx)
        bridge = to_transformer_lens(model)
        logits, cache = bridge.run_with_cache(tokens)
        in_float32 = config.norm == "rms" or config.positions == "rotary"
        atol = 1e-4 if in_float32 else 1e-9
        close(logits, model(tokens), atol)
        _, wanted = to_hooked(model).run_with_cache(tokens)
        parts = ["resid", "attn_out", "mlp_out", "_embed", "pattern", "hook_z"]
        parts += [] if config.gated else ["hook_pre"]
        names = [name for name in wanted if any(part in name for part in parts)]
        for name in names:
            close(cache[name], wanted[name], atol)

    def test_float32_and_random_state(self) -> None:
        config = TransformerConfig(1, 2, 4, 2, 8, 3, 5, 6)
        model = random_model(config, dtype=torch.float32)
        state = torch.get_rng_state()
        bridge = to_transformer_lens(model)
        assert torch.equal(torch.get_rng_state(), state)
        tokens = random_tokens(model, 2, 3)
        close(bridge(tokens), model(tokens), 1e-5)
        assert bridge.cfg.dtype == bridge.W_Q.dtype == torch.float32

    @pytest.mark.parametrize("norm", ["none", "layer"])
    def test_a_native_bridge_has_the_primitive(self, norm: Literal["none", "layer"]) -> None:
        model = random_model(TransformerConfig(2, 2, 4, 2, 8, 3, 5, 6, norm=norm))
        bridged = BridgedModel(to_transformer_lens(model))
        assert bridged.graph == model.graph
        tokens, other = random_tokens(model, 2, 3), random_tokens(model, 2, 3, seed=1)
        alternative = model.run(other).outputs.detach()
        mask = torch.eye(model.graph.n_edges, dtype=torch.float64)
        for pair in range(2):
            rows = tokens[pair : pair + 1].expand(len(mask), -1)
            args = (rows, alternative[pair : pair + 1], mask)
            close(bridged.run(*args).logits, model.run(*args).logits, 1e-9)


@pytest.fixture(scope="module")
def hf() -> GPT2LMHeadModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(
            GPT2Config(n_layer=2, n_head=4, n_embd=16, n_positions=6, vocab_size=11)
        )
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


@pytest.fixture(scope="module")
def ours(hf: GPT2LMHeadModel) -> Transformer:
    config = TransformerConfig(2, 4, 16, 4, 64, 6, 11, 11, activation="gelu_new", norm="layer")
    model = Transformer(config, dtype=torch.float64)
    gpt, blocks = hf.transformer, hf.transformer.h

    def stack(name: str) -> Tensor:
        return torch.stack([block.get_parameter(name) for block in blocks])

    norms = [*(b.ln_1 for b in blocks), *(b.ln_2 for b in blocks), gpt.ln_f]
    weights = {
        "W_E": gpt.wte.weight,
        "W_pos": gpt.wpe.weight,
        "W_QKV": stack("attn.c_attn.weight").reshape(2, 16, 3, 4, 4).permute(0, 2, 3, 1, 4),
        "b_QKV": stack("attn.c_attn.bias").reshape(2, 3, 4, 4),
        "W_O": stack("attn.c_proj.weight").reshape(2, 4, 4, 16),
        "b_O": stack("attn.c_proj.bias"),
        "W_in": stack("mlp.c_fc.weight"),
        "b_in": stack("mlp.c_fc.bias"),
        "W_out": stack("mlp.c_proj.weight"),
        "b_out": stack("mlp.c_proj.bias"),
        "W_U": hf.lm_head.weight.T,
        "b_U": torch.zeros(11),
        "ln_w": torch.stack([norm.weight for norm in norms]),
        "ln_b": torch.stack([norm.bias for norm in norms]),
    }
    model.load_state_dict(weights)
    return model


@pytest.fixture(scope="module")
def bridged(hf: GPT2LMHeadModel) -> BridgedModel:
    return BridgedModel(build_bridge(deepcopy(hf)))  # a bridge rewires what it is given


class TestGPT2:
    """A bridge over a tiny GPT-2, against our transformer with the same weights."""

    def test_clean(self, hf: GPT2LMHeadModel, ours: Transformer, bridged: BridgedModel) -> None:
        tokens = random_tokens(ours, 3, 5)
        run = bridged.run(tokens)
        close(run.logits, hf(tokens).logits, 1e-9)
        close(run.outputs, ours.run(tokens).outputs, 1e-9)
        assert bridged.graph == ours.graph

    @pytest.mark.parametrize("per_position", [False, True])
    def test_patched(self, ours: Transformer, bridged: BridgedModel, per_position: bool) -> None:
        tokens, other = random_tokens(ours, 3, 5), random_tokens(ours, 3, 5, seed=1)
        alternative = ours.run(other).outputs.detach()
        shape = [3, ours.graph.n_edges] + [5] * per_position
        generator = torch.Generator().manual_seed(2)
        mask = torch.rand(shape, generator=generator, dtype=torch.float64)
        runs, gradients = [], []
        for model in (bridged, ours):
            leaf = mask.clone().requires_grad_()
            runs.append(model.run(tokens, alternative, leaf))
            gradients.extend(torch.autograd.grad(runs[-1].logits.square().sum(), leaf))
        close(runs[0].logits, runs[1].logits, 1e-9)
        close(runs[0].outputs, runs[1].outputs, 1e-9)
        torch.testing.assert_close(*gradients, atol=1e-8, rtol=1e-8)

    @pytest.mark.parametrize("rules", RULES)
    def test_backward_rules(
        self, ours: Transformer, bridged: BridgedModel, rules: BackwardRules
    ) -> None:
        assert_same_rules(bridged, ours, rules)

    @pytest.mark.usefixtures("no_shape_checks")
    def test_wrong_shapes(self, bridged: BridgedModel) -> None:
        tokens = torch.zeros(2, 5, dtype=torch.long)
        with pytest.raises(ShapeError, match=r"alternative of shape \[2, 12, 5, 16\], got \[1\]"):
            bridged.run(tokens, torch.zeros(1), torch.zeros(1))


class TestOthers:
    def test_rotary_positions_are_no_node(self) -> None:
        hf = LlamaForCausalLM(LlamaConfig(**LLAMA, num_key_value_heads=4)).double().eval()
        tokens, other = torch.arange(24).reshape(2, 2, 6) % 11
        with torch.no_grad():
            wanted, wanted_other = hf(tokens).logits, hf(other).logits
        bridged = BridgedModel(build_bridge(hf))
        assert bridged.graph.inputs == ("embed",)
        everything = torch.ones(1, bridged.graph.n_edges)
        close(bridged.run(tokens).logits, wanted, 1e-6)
        alternative = bridged.run(other).outputs
        close(bridged.run(tokens, alternative, everything).logits, wanted_other, 1e-6)

    @pytest.mark.parametrize("rules", RULES)
    def test_backward_rules_of_gates_and_rms_norms(self, rules: BackwardRules) -> None:
        """Against our transformer, in which the two numbers of a plane lie next to each other."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            hf = LlamaForCausalLM(LlamaConfig(**LLAMA, num_key_value_heads=4, rms_norm_eps=1e-5))
            for parameter in hf.parameters():
                torch.nn.init.normal_(parameter, std=0.4)
        layers = hf.double().eval().model.layers

        def heads(name: str, *, turned: bool) -> Tensor:
            stacked = torch.stack([layer.get_parameter(name).T for layer in layers])
            stacked = stacked.reshape(2, 16, 4, 4).permute(0, 2, 1, 3)
            return stacked[..., [0, 2, 1, 3]] if turned else stacked

        def stack(name: str) -> Tensor:
            return torch.stack([layer.get_parameter(name).T for layer in layers])

        config = TransformerConfig(
            2, 4, 16, 4, 24, 8, 11, 11, True, "silu", "rms", gated=True, positions="rotary"
        )
        ours = Transformer(config, dtype=torch.float64)
        letters = [heads(f"self_attn.{x}_proj.weight", turned=x != "v") for x in "qkv"]
        norms = ["input_layernorm.weight", "post_attention_layernorm.weight"]
        weights = {
            "W_E": hf.model.embed_tokens.weight,
            "W_QKV": torch.stack(letters, 1),
            "W_O": stack("self_attn.o_proj.weight").reshape(2, 4, 4, 16),
            "W_gate": stack("mlp.gate_proj.weight"),
            "W_in": stack("mlp.up_proj.weight"),
            "W_out": stack("mlp.down_proj.weight"),
            "W_U": hf.lm_head.weight.T,
            "ln_w": torch.stack(
                [layer.get_parameter(n) for n in norms for layer in layers] + [hf.model.norm.weight]
            ),
        }
        ours.load_state_dict(weights, strict=False)  # all biases are zero
        assert_same_rules(BridgedModel(build_bridge(hf)), ours, rules)

    def test_rules_need_hooks(self) -> None:
        """Those of MLPs, in a model that has none."""
        twin = to_hooked(random_model(TransformerConfig(1, 2, 4, 2, 0, 3, 5, 6)))
        wanted = r"that fire, but not: blocks\.0\.mlp\.hook_pre, blocks\.0\.mlp\.hook_post$"
        with (
            pytest.raises(ModelError, match=wanted),
            backward_rules(twin, Graph(1, 2), BackwardRules(linear_activations=True)) as hooks,
        ):
            twin.run_with_hooks(torch.zeros(1, 2, dtype=torch.long), fwd_hooks=hooks)


def small(kind: str) -> Any:
    """A tiny random model of a family, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "GPT-2":
            sizes = {"n_layer": 2, "n_head": 4, "n_embd": 16, "n_positions": 8, "vocab_size": 11}
            model: Any = GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0.5, embd_pdrop=0.5))
        elif kind == "Llama":
            model = LlamaForCausalLM(LlamaConfig(**LLAMA, num_key_value_heads=4))
        else:
            model = GPTNeoXForCausalLM(GPTNeoXConfig(**LLAMA, use_parallel_residual=False))
    return model.train()


class TestDtypes:
    """The check sees in every dtype what it sees in float32."""

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
    @pytest.mark.parametrize("kind", ["GPT-2", "Llama", "serial GPT-NeoX"])
    def test_sums_are_accepted(self, kind: str, dtype: torch.dtype) -> None:
        model = small(kind)
        weights = {name: weight.to(dtype) for name, weight in model.state_dict().items()}
        bridge = build_bridge(model, dtype)
        storage = [parameter.data_ptr() for parameter in model.parameters()]
        bridged = BridgedModel(bridge)
        assert [parameter.data_ptr() for parameter in model.parameters()] == storage
        assert all(parameter.dtype == dtype for parameter in model.parameters())
        assert bridged.run(torch.arange(6)[None]).logits.dtype == dtype
        kept = model.state_dict()
        assert all(
            torch.equal(kept[name], weight) for name, weight in weights.items() if name in kept
        )

    def test_every_method_runs_in_bfloat16(self) -> None:
        bridged = BridgedModel(build_bridge(small("GPT-2"), torch.bfloat16))
        clean, corrupted = torch.arange(12).reshape(2, 1, 6) % 11
        task = Task("bridge", bridged, clean, corrupted, torch.ones_like(clean).bool())
        few = QUICK | {"acdc": {"thresholds": [1e-6]}}
        for name in sorted(METHODS.keys() - OURS_ONLY):
            scores = kc.discover(name, task, **few.get(name, {}))
            assert scores.values.any(), name

    def test_weights_loaded_in_inference_mode(self) -> None:
        with torch.inference_mode():
            bridge = build_bridge(small("Llama"), torch.float32)
            bridged = BridgedModel(bridge)
        clean, corrupted = torch.arange(12).reshape(2, 1, 6) % 11
        task = Task("bridge", bridged, clean, corrupted, torch.ones_like(clean).bool())
        assert kc.discover("eap", task).values.any()


class TestTrainingMode:
    def test_dropout_is_switched_off(self) -> None:
        model = small("GPT-2")
        bridge = build_bridge(model, torch.float32)
        model.train()
        tokens = torch.arange(6)[None]
        bridged = BridgedModel(bridge)
        assert torch.equal(bridged.run(tokens).logits, bridged.run(tokens).logits)

    @pytest.mark.parametrize("part", ["bridge", "model"])
    def test_it_is_refused_later(self, part: str) -> None:
        model = small("GPT-2")
        bridged = BridgedModel(build_bridge(model, torch.float32))
        (bridged.bridge if part == "bridge" else model).train()
        with pytest.raises(ModelError, match="evaluation mode, got one in training mode"):
            bridged.run(torch.arange(6)[None])
        bridged.bridge.eval()
        bridged.run(torch.arange(6)[None])
