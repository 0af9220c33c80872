"""Every kind of layer is trained, certified, measured again by hooks, saved and read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.certificates.recheck import recheck
from knowncircuits.models.trained import as_trained, load_trained, save_trained
from knowncircuits.models.training.config import TrainingConfig
from knowncircuits.models.training.trainer import train
from knowncircuits.models.zoo.plans import Plan

SHORT = TrainingConfig(steps=3, n_inputs=500, n_validation=50, warmup=1)
TODAYS = {"norm": "rms", "gated": True, "activation": "silu", "positions": "rotary", "d_head": 8}
KINDS: list[dict[str, Any]] = [
    {"norm": "layer"},
    {"norm": "rms"},
    {"gated": True},
    {"positions": "rotary"},
    TODAYS,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_the_whole_way(kind: dict[str, Any], tmp_path: Path) -> None:
    trainer = Plan("trend", SHORT).changed(kind).trainer()
    before = {name: p.detach().clone() for name, p in trainer.placed.model.named_parameters()}
    train(trainer)
    moved = {n for n, p in trainer.placed.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == before.keys() - {"ln_b"}
    trained = as_trained(trainer.placed)
    certificate = certify(trained.placed, n_pairs=50, strata=())
    assert recheck(trained.placed, certificate)
    save_trained(dataclasses.replace(trained, certificate=certificate), tmp_path)
    loaded = load_trained(tmp_path)
    assert loaded.certificate == certificate
    assert loaded.model.config == trained.model.config
    ids = loaded.compiled.draw(20, 0)
    assert torch.equal(loaded.model(ids), trained.model(ids))
    for exported in (loaded.to_hooked(), loaded.to_transformer_lens()):
        assert torch.allclose(exported(ids), trained.model(ids), atol=1e-5)


@pytest.mark.long
def test_a_model_like_todays_is_certified() -> None:
    trainer = Plan("trend", TrainingConfig(steps=1000)).changed(TODAYS).trainer()
    agreement = train(trainer)
    assert agreement.passed, agreement.failures
    assert not certify(trainer.placed, n_pairs=500, strata=()).failures
