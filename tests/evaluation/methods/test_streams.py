"""Large models are attributed without masks: what they are given is what masks give."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from knowncircuits.architecture import TransformerConfig
from knowncircuits.evaluation.answers import Answers
from knowncircuits.evaluation.choices import Ablation
from knowncircuits.evaluation.methods import streams
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.evaluation.task import Task
from strategies import random_model, random_tokens

KINDS: dict[str, TransformerConfig] = {
    "learned": TransformerConfig(3, 2, 6, 4, 8, 5, 9, 4, norm="layer"),
    "rotary": TransformerConfig(
        2, 3, 6, 4, 8, 5, 9, 4, norm="rms", gated=True, positions="rotary", causal=False
    ),
}
METHODS: dict[str, dict[str, Any]] = {
    "eap": {},
    "nap": {},
    "clean-corrupted": {},
    "gim": {},
    "eap-ig-inputs": {"steps": 3},
    "nap-ig": {"steps": 2, "rule": "gauss"},
    "hisp": {},
    "bootstrap": {"steps": 2, "resamples": 20},
}


def task_of(kind: str, metric: str, ablation: Ablation) -> Task:
    model = random_model(KINDS[kind])
    clean, corrupted = (random_tokens(model, 5, 5, seed) for seed in (1, 2))
    counts = torch.zeros(5, 5, dtype=torch.bool)
    counts[0, 2] = counts[1:, 4] = True
    labels = None
    if metric == "logit_diff":
        labels = Answers(torch.arange(5) % 4, (torch.arange(5) + 1) % 4)
    return Task("random", model, clean, corrupted, counts, metric, ablation, labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("metric", "ablation"), [("kl", "resample"), ("logit_diff", "mean"), ("logit_diff", "zero")]
)
def test_scores_are_those_of_masks(
    kind: str, metric: str, ablation: Ablation, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(kind, metric, ablation)
    masked = {name: discover(name, task, **options) for name, options in METHODS.items()}
    monkeypatch.setattr(streams, "LARGE", 1)
    for room in (2**26, 500):  # all pairs at once; two and then one
        monkeypatch.setattr(streams, "ROOM", room)
        for name, options in METHODS.items():
            found = discover(name, replace(task), **options)
            largest = np.abs(masked[name].values).max()
            np.testing.assert_allclose(
                found.values, masked[name].values, rtol=1e-10, atol=1e-10 * largest
            )
            steps = options.get("steps", 0)  # of which masks need two passes each
            assert found.backward_passes == masked[name].backward_passes
            assert found.forward_passes == masked[name].forward_passes - 5 * steps


def test_from_which_size_on() -> None:
    """GPT-2 small is large; the benchmark's own models are not."""
    gpt2 = TransformerConfig(12, 12, 768, 64, 3072, 15, 10, 10, norm="layer")
    assert len(gpt2.graph.destinations) * gpt2.n_ctx * gpt2.d_model > 4 * streams.LARGE
    assert not streams.is_large(task_of("learned", "kl", "resample"))
