"""How far a patched run's outputs are from the clean run's, at every position.

Every metric is 0 at the clean run, and grows as what the model does is lost: a positive effect of
an edge says that the edge was needed. The labels of those that need one are the model's own
answers: the clean run's is right, the corrupted run's is wrong. A task may have labels of its own
for `logit_diff` and `prob_diff`; see `answers.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.errors import TaskError, UnknownNameError

Logits = Float[Tensor, "batch pos d_vocab_out"]
Distance = Callable[[Logits, Logits, Logits], Float[Tensor, "batch pos"]]


def kl(logits: Logits, clean: Logits, corrupted: Logits) -> Float[Tensor, "batch pos"]:
    """KL divergence from the clean run's distribution to this one's, in nats."""
    expected, got = clean.log_softmax(-1), logits.log_softmax(-1)
    return (expected.exp() * (expected - got)).sum(-1)


def l2(logits: Logits, clean: Logits, corrupted: Logits) -> Float[Tensor, "batch pos"]:
    """Squared distance of the outputs."""
    return (logits - clean).square().sum(-1)


def logit_diff(logits: Logits, clean: Logits, corrupted: Logits) -> Float[Tensor, "batch pos"]:
    """By how much the right answer's logit less the wrong one's has fallen.

    0 throughout where the clean and the corrupted run give the same answer.
    """
    return _lead(clean, clean, corrupted) - _lead(logits, clean, corrupted)


def prob_diff(logits: Logits, clean: Logits, corrupted: Logits) -> Float[Tensor, "batch pos"]:
    """As `logit_diff`, of the two answers' probabilities."""
    right = clean.softmax(-1)
    return _lead(right, clean, corrupted) - _lead(logits.softmax(-1), clean, corrupted)


def label_loss(logits: Logits, clean: Logits, corrupted: Logits) -> Float[Tensor, "batch pos"]:
    """By how much the cross-entropy to the clean run's answer has grown."""
    label = clean.argmax(-1, keepdim=True)
    lost = clean.log_softmax(-1) - logits.log_softmax(-1)
    return lost.gather(-1, label).squeeze(-1)


def _lead(values: Tensor, clean: Tensor, corrupted: Tensor) -> Tensor:
    """The value of the clean run's answer less that of the corrupted run's."""
    right, wrong = (run.argmax(-1, keepdim=True) for run in (clean, corrupted))
    return (values.gather(-1, right) - values.gather(-1, wrong)).squeeze(-1)


def _log_probability(logits: Logits, clean: Logits, corrupted: Logits) -> Tensor:
    """Of the clean run's answer."""
    return logits.log_softmax(-1).gather(-1, clean.argmax(-1, keepdim=True)).squeeze(-1)


@dataclass(frozen=True)
class Metric:
    """A distance from the clean run, and what it is fit for."""

    distance: Distance
    # What it is about, more being better: the distance is what of it the clean run has and this one
    # has not. Of a divergence, which is about the clean run, the distance with the other sign.
    value: Distance
    # Least at the clean run, where its gradient is therefore zero: first-order methods must look
    # elsewhere.
    divergence: bool
    numbers: bool = False  # whether it says anything of a single number, too


METRICS: dict[str, Metric] = {
    "kl": Metric(kl, lambda *runs: -kl(*runs), divergence=True),
    "l2": Metric(l2, lambda *runs: -l2(*runs), divergence=True, numbers=True),
    "logit_diff": Metric(logit_diff, _lead, divergence=False),
    "prob_diff": Metric(
        prob_diff, lambda logits, *runs: _lead(logits.softmax(-1), *runs), divergence=False
    ),
    "label_loss": Metric(label_loss, _log_probability, divergence=False),
}


Own = Callable[..., Float[Tensor, "batch pos"]]  # of logits, or of logits, clean and corrupted

EXACT = 1e-4  # what a metric may be off by at the clean run, of its size at the corrupted one


def own_metric(function: Own, clean: Logits, corrupted: Logits) -> Metric:
    """A user's function as a metric, tried on two runs.

    Args:
        function: of a run's logits, [batch, pos, output]: what the metric is about at each
            position, more being better; or of `logits, clean, corrupted`: how far a run is from the
            clean one, which is 0 there. It returns [batch, pos].
        clean: logits of the clean inputs.
        corrupted: logits of the corrupted ones.

    Returns:
        The metric. Whether it is a divergence is seen from its gradient at the clean run.

    Raises TaskError for another shape, values that are not finite, or a distance that is not 0 at
    the clean run.
    """
    n = len(inspect.signature(function).parameters)
    if n not in (1, 3):
        raise TaskError(
            f"expected a metric of logits, or of logits, clean and corrupted, got one of {n} "
            "arguments"
        )
    metric = Metric(function, lambda *runs: -function(*runs), divergence=False, numbers=True)
    if n == 1:
        metric = Metric(
            lambda logits, clean, corrupted: function(clean) - function(logits),
            lambda logits, clean, corrupted: function(logits),
            divergence=False,
            numbers=True,
        )
    here, slope = _tried(metric, clean, clean, corrupted)
    there, other_slope = _tried(metric, corrupted, clean, corrupted)
    if here > EXACT * max(there, EXACT):
        raise TaskError(f"expected a metric that is 0 at the clean run, got {here:g}")
    return replace(metric, divergence=slope <= EXACT * other_slope)


def _tried(metric: Metric, run: Logits, clean: Logits, corrupted: Logits) -> tuple[float, float]:
    """The largest distance of a run, and the largest part of its gradient."""
    logits = run.detach().clone().requires_grad_()
    with torch.enable_grad():
        found: Any = metric.distance(logits, clean, corrupted)
        shape = found.shape if isinstance(found, Tensor) else type(found).__name__
        if shape != clean.shape[:2]:
            got = list(shape) if isinstance(found, Tensor) else shape
            raise TaskError(f"expected a metric [batch, pos], {list(clean.shape[:2])}, got {got}")
        if not found.isfinite().all():
            raise TaskError("expected a metric that is finite, got another")
        slope = None
        if found.requires_grad:
            (slope,) = torch.autograd.grad(found.sum(), logits, allow_unused=True)
    largest = float(found.detach().abs().max())
    return largest, 0.0 if slope is None else float(slope.abs().max())


def load_metric(name: str) -> Metric:
    """The metric of a name; raises UnknownNameError if there is none."""
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]
