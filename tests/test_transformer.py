"""The primitive: against recorded values, against the hooked twin, and against its own meaning."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.choices import Norm
from knowncircuits.errors import ModelError, ShapeError
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.models.interop.hooks import run_patched
from knowncircuits.transformer import Transformer
from strategies import Experiment, experiments, random_model, random_tokens

REFERENCE = Path(__file__).parent / "data" / "reference"
SMALL = {
    "n_layers": 2,
    "n_heads": 2,
    "d_model": 6,
    "d_head": 3,
    "d_mlp": 8,
    "n_ctx": 5,
    "d_vocab": 4,
    "d_vocab_out": 3,
}


def small_model(**changes: Any) -> Transformer:
    return random_model(TransformerConfig(**{**SMALL, **changes}))


def close(got: Tensor, wanted: Tensor, atol: float) -> None:
    torch.testing.assert_close(got, wanted, atol=atol, rtol=atol)  # gates make large numbers


@pytest.mark.parametrize("number", [0, 1])
class TestRecorded:
    """Values recorded from a separate implementation; see the README beside them."""

    @pytest.fixture
    def meta(self, number: int) -> dict[str, Any]:
        models: list[dict[str, Any]] = json.loads((REFERENCE / "patching.json").read_text())
        return models[number]

    @pytest.fixture
    def arrays(self, number: int) -> dict[str, Tensor]:
        prefix = f"model{number}/"
        with np.load(REFERENCE / "patching.npz") as file:
            names = [name for name in file if name.startswith(prefix)]
            return {name.removeprefix(prefix): torch.from_numpy(file[name]) for name in names}

    @pytest.fixture
    def model(self, meta: dict[str, Any], arrays: dict[str, Tensor]) -> Transformer:
        causal = meta["attention"] == "causal"
        config = TransformerConfig(**{name: meta[name] for name in SMALL}, causal=causal)
        model = Transformer(config, dtype=torch.float64)

        def stack(name: str) -> Tensor:
            return torch.stack([arrays[f"blocks.{i}.{name}"] for i in range(config.n_layers)])

        weights = {name: arrays[name] for name in ("W_E", "W_pos", "W_U", "b_U")}
        for name in ("W_O", "b_O", "W_in", "b_in", "W_out", "b_out"):
            weights[name] = stack(name)
        for kind in "Wb":
            weights[f"{kind}_QKV"] = torch.stack([stack(f"{kind}_{x}") for x in "QKV"], 1)
        model.load_state_dict(weights)
        return model

    def test_graph(self, model: Transformer, meta: dict[str, Any]) -> None:
        assert list(model.graph.sources) == meta["sources"]
        assert list(model.graph.edges) == meta["edges"]

    def test_clean(self, model: Transformer, arrays: dict[str, Tensor]) -> None:
        logits, outputs = model.run(arrays["tokens"])
        close(logits, arrays["logits"], 1e-10)
        close(outputs, arrays["outputs"], 1e-10)
        close(model.run(arrays["source_tokens"]).outputs, arrays["alternative"], 1e-10)

    def test_patched(self, model: Transformer, arrays: dict[str, Tensor]) -> None:
        patched = model.run(arrays["tokens"], arrays["alternative"], arrays["mask"])
        close(patched.logits, arrays["patched_logits"], 1e-10)


class TestAgainstHooks:
    """The fast path and the hooked twin share no code."""

    @given(experiments())
    @settings(max_examples=60)
    def test_float64(self, experiment: Experiment) -> None:
        model, *arguments = experiment.build()
        got, wanted = model.run(*arguments), run_patched(to_hooked(model), *arguments)
        close(got.logits, wanted.logits, 1e-9)
        close(got.outputs, wanted.outputs, 1e-9)

    @given(experiments())
    @settings(max_examples=15)
    def test_float32(self, experiment: Experiment) -> None:
        model, *arguments = experiment.build(torch.float32)
        got, wanted = model.run(*arguments), run_patched(to_hooked(model), *arguments)
        # Gated units are products, whose sums cancel: rounding is up to ten times as large.
        torch.testing.assert_close(got.logits, wanted.logits, atol=1e-4, rtol=1e-4)

    @given(experiments())
    @settings(max_examples=25)
    def test_gradients(self, experiment: Experiment) -> None:
        model, tokens, alternative, mask = experiment.build()
        gradients = []
        for run in (model.run, to_hooked(model).run):
            leaves = [alternative.clone().requires_grad_(), mask.clone().requires_grad_()]
            logits = run(tokens, *leaves).logits
            gradients.append(torch.autograd.grad(logits.square().sum(), leaves))
        for got, wanted in zip(*gradients, strict=True):
            # Products of gated units have gradients of up to 1e12, whose sums cancel.
            atol = max(1e-9, 1e-13 * float(wanted.abs().max()))
            torch.testing.assert_close(got, wanted, atol=atol, rtol=1e-9)


class TestMeaning:
    @given(experiments())
    @settings(max_examples=15)
    def test_no_edge_changes_nothing(self, experiment: Experiment) -> None:
        model, tokens, alternative, mask = experiment.build()
        close(model.run(tokens, alternative, 0 * mask).logits, model(tokens), 1e-9)

    def test_every_edge_is_the_other_input(self) -> None:
        model = small_model(norm="layer")
        tokens, other = random_tokens(model, 2, 5), random_tokens(model, 2, 5, seed=1)
        everything = torch.ones(1, model.graph.n_edges, dtype=torch.float64)
        patched = model.run(tokens, model.run(other).outputs, everything)
        close(patched.logits, model(other), 1e-9)

    def test_a_batch_of_hypotheses(self) -> None:
        model = small_model()
        tokens, other = random_tokens(model, 1, 4), random_tokens(model, 1, 4, seed=1)
        alternative = model.run(other).outputs
        masks = torch.eye(model.graph.n_edges, dtype=torch.float64)
        together = model.run(tokens.expand(len(masks), -1), alternative, masks).logits
        for mask, logits in zip(masks, together, strict=True):
            close(model.run(tokens, alternative, mask[None]).logits[0], logits, 1e-10)

    def test_a_node_is_all_its_edges(self) -> None:
        model = small_model()
        tokens, other = random_tokens(model, 2, 5), random_tokens(model, 2, 5, seed=1)
        twin, alternative = to_hooked(model), model.run(other).outputs
        mask = torch.zeros(1, model.graph.n_edges, dtype=torch.float64)
        mask[:, model.graph.edges_from("m0")] = 1
        value = alternative[:, model.graph.sources.index("m0")]
        wanted = twin.run_with_hooks(
            tokens, fwd_hooks=[("blocks.0.hook_mlp_out", lambda _, hook: value)]
        )
        close(model.run(tokens, alternative, mask).logits, wanted, 1e-10)

    def test_causal_models_do_not_look_ahead(self) -> None:
        for causal in (True, False):
            model = small_model(causal=causal)
            tokens = random_tokens(model, 1, 5)
            changed = tokens.clone()
            changed[:, -1] = (changed[:, -1] + 1) % model.config.d_vocab
            same = torch.allclose(model(tokens)[:, :-1], model(changed)[:, :-1])
            assert same == causal

    @pytest.mark.parametrize("norm", ["layer", "rms"])
    @pytest.mark.parametrize("kinds", [{}, {"gated": True, "positions": "rotary"}])
    def test_gradients_reach_every_weight(self, norm: Norm, kinds: dict[str, Any]) -> None:
        model = small_model(norm=norm, **kinds)
        model(random_tokens(model, 2, 5)).square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())

    def test_a_seed_makes_the_model(self) -> None:
        config = TransformerConfig(**SMALL)
        first, same, other = (Transformer(config).initialise(seed) for seed in (0, 0, 1))
        assert torch.equal(first.W_QKV, same.W_QKV)
        assert not torch.equal(first.W_QKV, other.W_QKV)


@pytest.mark.usefixtures("no_shape_checks")
class TestErrors:
    @pytest.fixture(params=["fast", "hooked"])
    def model(self, request: pytest.FixtureRequest) -> Any:
        model = small_model()
        return model if request.param == "fast" else to_hooked(model)

    def test_tokens(self, model: Any) -> None:
        for shape in ([5], [2, 6], [0, 5], [2, 0], [1, 2, 3]):
            with pytest.raises(ShapeError, match=r"tokens of shape \[batch, 1 to 5\], got \["):
                model.run(torch.zeros(shape, dtype=torch.long))

    def test_one_without_the_other(self, model: Any) -> None:
        tokens = torch.zeros(2, 4, dtype=torch.long)
        with pytest.raises(ShapeError, match="mask and an alternative together"):
            model.run(tokens, mask=torch.zeros(2, model.graph.n_edges))
        with pytest.raises(ShapeError, match="mask and an alternative together"):
            model.run(tokens, torch.zeros(2, len(model.graph.sources), 4, 6))

    def test_alternative(self, model: Any) -> None:
        tokens, mask = torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, model.graph.n_edges)
        for shape in ([2, 7, 4, 6], [2, 8, 5, 6], [3, 8, 4, 6], [8, 4, 6]):
            message = rf"alternative of shape \[2, 8, 4, 6\], got \[{shape[0]}, "
            with pytest.raises(ShapeError, match=message):
                model.run(tokens, torch.zeros(shape), mask)

    def test_mask(self, model: Any) -> None:
        tokens, n = torch.zeros(2, 4, dtype=torch.long), model.graph.n_edges
        for shape in ([n], [2, n - 1], [3, n], [2, n, 5], [2, n, 4, 1]):
            with pytest.raises(ShapeError, match=rf"mask of shape \[2, {n}\].*got \[{shape[0]}"):
                model.run(tokens, torch.zeros(1, 8, 4, 6), torch.zeros(shape))

    def test_hidden(self) -> None:
        with pytest.raises(ModelError, match=r"expected hidden of \d layers, got 5"):
            Transformer(TransformerConfig(**SMALL), hidden=[1] * 5)


@given(experiments())
@settings(max_examples=25)
def test_what_large_runs_compute_twice_is_the_same(experiment: Experiment) -> None:
    """To the bit: values, and gradients of masks and of alternatives, of gradients too."""
    model, tokens, alternative, mask = experiment.build()

    def gradients() -> list[torch.Tensor]:
        leaves = [mask.clone().requires_grad_(), alternative.clone().requires_grad_()]
        logits = model.run(tokens, leaves[1], leaves[0]).logits
        first = torch.autograd.grad(logits.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
        return [logits, *first, *second]

    kept = gradients()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("knowncircuits.primitive.RECOMPUTED", 0)
        for again, value in zip(gradients(), kept, strict=True):
            assert torch.equal(again, value)
