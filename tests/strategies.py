"""Random small transformers and patching experiments on them, for hypothesis."""

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from knowncircuits.transformer import Transformer, TransformerConfig


class Experiment(NamedTuple):
    """Everything that one call of `run` takes, in float64 unless asked otherwise."""

    model: Transformer
    tokens: Tensor
    alternative: Tensor
    mask: Tensor


def configs() -> st.SearchStrategy[TransformerConfig]:
    """Every kind of model: causal or not, normed or not, with and without MLPs."""
    return st.builds(
        TransformerConfig,
        n_layers=st.integers(1, 3),
        n_heads=st.integers(1, 3),
        d_model=st.integers(2, 9),
        d_head=st.integers(1, 4),
        d_mlp=st.sampled_from([0, 1, 11]),
        n_ctx=st.integers(1, 6),
        d_vocab=st.integers(2, 7),
        d_vocab_out=st.integers(1, 4),
        causal=st.booleans(),
        activation=st.sampled_from(["relu", "gelu", "gelu_new"]),
        layer_norm=st.booleans(),
        layer_norm_eps=st.sampled_from([1e-5, 1e-2]),
    )


def random_model(
    config: TransformerConfig, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Transformer:
    """A model with no weight at zero, biases and gains included."""
    model = Transformer(config, dtype=dtype).initialise(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def random_tokens(model: Transformer, batch: int, seq: int, seed: int = 0) -> Tensor:
    """Uniform ids."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.config.d_vocab, (batch, seq), generator=generator)


@st.composite
def experiments(draw: st.DrawFn, dtype: torch.dtype = torch.float64) -> Experiment:
    """A model, tokens, what other tokens write, and a mask of any kind that `run` takes."""
    model = random_model(draw(configs()), draw(st.integers(0, 2**31)), dtype)
    batch, seq = draw(st.integers(1, 3)), draw(st.integers(1, model.config.n_ctx))
    tokens = random_tokens(model, batch, seq, draw(st.integers(0, 2**31)))
    n_alternatives = draw(st.sampled_from([1, batch]))
    source_tokens = random_tokens(model, n_alternatives, seq, draw(st.integers(0, 2**31)))
    shape = [draw(st.sampled_from([1, batch])), model.graph.n_edges]
    if draw(st.booleans()):
        shape.append(seq)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    mask = torch.rand(shape, generator=generator, dtype=dtype)
    hard = draw(st.sampled_from([None, 0.02, 0.5]))  # a threshold makes it binary, perhaps sparse
    if hard is not None:
        mask = (mask < hard).to(dtype)
    with torch.no_grad():
        alternative = model.run(source_tokens).outputs
    return Experiment(model, tokens, alternative, mask)
