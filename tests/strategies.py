"""Random small transformers and patching experiments on them, for hypothesis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.choices import Activation
from knowncircuits.evaluation.choices import Ablation
from knowncircuits.evaluation.task import Task
from knowncircuits.transformer import Transformer


def configs(max_layers: int = 3, max_heads: int = 3) -> st.SearchStrategy[TransformerConfig]:
    """Every kind of model: causal or not, with every norm or none, MLPs, gated ones and none."""
    return st.builds(
        made,
        n_layers=st.integers(1, max_layers),
        n_heads=st.integers(1, max_heads),
        d_model=st.integers(2, 9),
        d_head=st.integers(1, 4),
        d_mlp=st.sampled_from([0, 1, 11]),
        n_ctx=st.integers(1, 6),
        d_vocab=st.integers(2, 7),
        d_vocab_out=st.integers(1, 4),
        causal=st.booleans(),
        activation=st.sampled_from(["relu", "gelu", "gelu_new", "silu"]),
        norm=st.sampled_from(["none", "layer", "rms"]),
        norm_eps=st.sampled_from([1e-5, 1e-2]),
        gated=st.booleans(),
        positions=st.sampled_from(["learned", "rotary"]),
    )


def made(**fields: Any) -> TransformerConfig:
    """A configuration: without an MLP there is nothing to gate, and one number cannot be turned."""
    fields["gated"] &= fields["d_mlp"] > 0
    fields["d_head"] = max(fields["d_head"], 2 if fields["positions"] == "rotary" else 1)
    return TransformerConfig(**fields)


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


def random_task(
    metric: str = "kl",
    seed: int = 0,
    *,
    ablation: Ablation = "resample",
    n_pairs: int = 6,
    n_layers: int = 2,
    **choices: Any,
) -> Task:
    """A dense random model, of these choices of `TransformerConfig`: every edge has an effect."""
    config = TransformerConfig(n_layers, 2, 8, 3, 12, n_ctx=5, d_vocab=6, d_vocab_out=4, **choices)
    model = Transformer(config, dtype=torch.float64).initialise(seed).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    clean, corrupted = torch.randint(1, 6, (2, n_pairs, 5), generator=generator)
    counts = torch.ones(n_pairs, 5, dtype=torch.bool)
    counts[:, 0] = False
    return Task("random", model, clean, corrupted, counts, metric, ablation)


def linear_task(metric: str) -> Task:
    """A model that is linear in what its nodes write: even attention, and ReLUs always on."""
    config = TransformerConfig(
        n_layers=2,
        n_heads=2,
        d_model=6,
        d_head=3,
        d_mlp=7,
        n_ctx=4,
        d_vocab=5,
        d_vocab_out=3,
        activation="relu",
    )
    model = Transformer(config, dtype=torch.float64).initialise(1).requires_grad_(False)
    model.W_QKV[:, :2] = 0
    model.b_in += 100
    model.b_out -= 100 * model.W_out.sum(1)
    clean = torch.tensor([[0, 1, 2, 3], [0, 4, 4, 1], [0, 2, 3, 3]])
    return Task("linear", model, clean, clean.roll(1, 0), clean > 0, metric)


def gate_task(
    units: Sequence[tuple[float, float, float]],
    activation: Activation = "relu",
    flag: float = 1.0,
) -> Task:
    """Two heads write a flag each, `flag` in clean and 0 in corrupted inputs; an MLP joins them.

    Of each unit of the MLP: the weight of both flags, the bias, and its weight in the output y. The
    other answer's logit lies in the middle of y's two values, so that `logit_diff` is how far y has
    fallen.
    """
    config = TransformerConfig(1, 2, 4, 1, len(units), 1, 2, 2, activation=activation)
    model = Transformer(config, dtype=torch.float64).requires_grad_(False)
    model.W_E[1, 0] = flag  # the clean token has both flags
    for head in (0, 1):
        model.W_QKV[0, 2, head, 0, 0] = 1
        model.W_O[0, head, 0, 1 + head] = 1
    for unit, (weight, bias, out) in enumerate(units):
        model.W_in[0, 1:3, unit] = weight
        model.b_in[0, unit] = bias
        model.W_out[0, unit, 3] = out
    model.W_U[3, 0] = 1
    ends = model(torch.tensor([[1], [0]]))[:, 0, 0]
    model.b_U[1] = ends.mean()
    clean = torch.ones(1, 1, dtype=torch.long)
    return Task("gate", model, clean, 1 - clean, clean.bool(), "logit_diff")


@dataclass(frozen=True)
class Experiment:
    """What to call `run` with; the tensors are made in the test, so that an example is small."""

    config: TransformerConfig
    seed: int
    batch: int
    seq: int
    shared_alternative: bool
    shared_mask: bool
    per_position: bool
    density: float | None  # of ones in a binary mask; a soft mask if None

    def build(
        self, dtype: torch.dtype = torch.float64
    ) -> tuple[Transformer, Tensor, Tensor, Tensor]:
        """A model, tokens, what other tokens write, and a mask."""
        model = random_model(self.config, self.seed, dtype)
        tokens = random_tokens(model, self.batch, self.seq, self.seed)
        n_others = 1 if self.shared_alternative else self.batch
        others = random_tokens(model, n_others, self.seq, self.seed + 1)
        shape = [1 if self.shared_mask else self.batch, model.graph.n_edges]
        shape += [self.seq] * self.per_position
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(self.seed), dtype=dtype)
        if self.density is not None:
            mask = (mask < self.density).to(dtype)
        with torch.no_grad():
            alternative = model.run(others).outputs
        return model, tokens, alternative, mask


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    """Every kind of call that `run` takes, on every kind of model."""
    config = draw(configs())
    return Experiment(
        config=config,
        seed=draw(st.integers(0, 2**31)),
        batch=draw(st.integers(1, 3)),
        seq=draw(st.integers(1, config.n_ctx)),
        shared_alternative=draw(st.booleans()),
        shared_mask=draw(st.booleans()),
        per_position=draw(st.booleans()),
        density=draw(st.sampled_from([None, 0.02, 0.5])),
    )
