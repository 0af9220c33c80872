"""Muon: its iteration against singular values, its step on a transformer's stacked weights."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.architecture import TransformerConfig
from knowncircuits.models.training.muon import MATRICES, Muon, orthogonalised
from knowncircuits.transformer import Transformer

SIZES = {"n_layers": 2, "n_heads": 3, "d_model": 8, "d_head": 2, "n_ctx": 5}


def transformer(d_mlp: int = 12, *, gated: bool = False) -> Transformer:
    config = TransformerConfig(**SIZES, d_mlp=d_mlp, d_vocab=6, d_vocab_out=4, gated=gated)
    return Transformer(config, dtype=torch.float64).initialise(0)


def with_gradients(model: Transformer) -> Transformer:
    tokens = torch.arange(5).expand(3, 5)
    model.run(tokens).logits.square().sum().backward()
    return model


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    seed=st.integers(0, 99),
    scale=st.floats(-6, 6),
)
def test_singular_values_come_near_one_and_vectors_stay(
    rows: int, columns: int, seed: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, rows, columns, generator=generator, dtype=torch.float64) * 10**scale
    u, values, vh = torch.linalg.svd(x, full_matrices=False)
    got = u.mT @ orthogonalised(x) @ vh.mT
    diagonal = got.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(got, torch.diag_embed(diagonal), atol=1e-6)
    large = values > 0.02 * values[..., :1]
    assert ((diagonal[large] > 0.6) & (diagonal[large] < 1.25)).all()


def test_zero_stays_zero() -> None:
    assert not orthogonalised(torch.zeros(2, 3, 4)).any()


@pytest.mark.parametrize(("d_mlp", "gated"), [(12, False), (12, True), (0, False)])
def test_it_moves_matrices_and_nothing_else(d_mlp: int, gated: bool) -> None:
    model = with_gradients(transformer(d_mlp, gated=gated))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    Muon(model, lr=0.1).step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in MATRICES if name in before}


def test_heads_of_a_layer_move_as_one_matrix() -> None:
    model = with_gradients(transformer())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradient = {name: p.grad for name, p in model.named_parameters()}
    Muon(model, lr=0.1).step()
    moved = {name: p.detach() - before[name] for name, p in model.named_parameters()}

    def heads_side_by_side(x: torch.Tensor) -> torch.Tensor:
        return torch.cat(list(x), 1)  # [head, d_model, d_head] to [d_model, head * d_head]

    for letter in range(3):
        want = orthogonalised(heads_side_by_side(gradient["W_QKV"][1, letter]))
        got = heads_side_by_side(moved["W_QKV"][1, letter])
        assert torch.allclose(got, -0.1 * want)  # 8 to 6: no wider than it is tall
    want = orthogonalised(torch.cat(list(gradient["W_O"][0])))
    assert torch.allclose(torch.cat(list(moved["W_O"][0])), -0.1 * (8 / 6) ** 0.5 * want)
    want = orthogonalised(gradient["W_in"][0])
    assert torch.allclose(moved["W_in"][0], -0.1 * (12 / 8) ** 0.5 * want)
    assert torch.allclose(moved["W_out"][0], -0.1 * orthogonalised(gradient["W_out"][0]))


def test_gates_move_as_what_they_gate() -> None:
    model = with_gradients(transformer(gated=True))
    before, gradient = model.W_gate.detach().clone(), model.W_gate.grad
    assert gradient is not None
    Muon(model, lr=0.1).step()
    want = before - 0.1 * (12 / 8) ** 0.5 * orthogonalised(gradient)
    assert torch.allclose(model.W_gate, want)


def test_momentum_is_kept_and_loaded() -> None:
    models = [transformer(), transformer()]
    steps = [Muon(model, lr=0.1) for model in models]
    with_gradients(models[0])
    steps[0].step()
    models[1].load_state_dict(models[0].state_dict())
    steps[1].load_state_dict(deepcopy(steps[0].state_dict()))
    for model, muon in zip(models, steps, strict=True):
        model.zero_grad()
        with_gradients(model)
        muon.step()
    a, b = (model.state_dict() for model in models)
    assert all(torch.equal(a[name], b[name]) for name in a)
