"""How far a patched run's outputs are from the clean run's, at every position."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from knowncircuits.errors import UnknownNameError

Divergence = Callable[
    [Float[Tensor, "batch pos d_vocab_out"], Float[Tensor, "batch pos d_vocab_out"]],
    Float[Tensor, "batch pos"],
]


def kl(
    logits: Float[Tensor, "batch pos d_vocab_out"], clean: Float[Tensor, "batch pos d_vocab_out"]
) -> Float[Tensor, "batch pos"]:
    """KL divergence from the clean run's distribution to this one's, in nats."""
    expected, got = clean.log_softmax(-1), logits.log_softmax(-1)
    return (expected.exp() * (expected - got)).sum(-1)


def l2(
    logits: Float[Tensor, "batch pos d_vocab_out"], clean: Float[Tensor, "batch pos d_vocab_out"]
) -> Float[Tensor, "batch pos"]:
    """Squared distance of the outputs."""
    return (logits - clean).square().sum(-1)


METRICS: dict[str, Divergence] = {"kl": kl, "l2": l2}


def load_metric(name: str) -> Divergence:
    """The metric of a name; raises UnknownNameError if there is none."""
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]
