"""How long models take to be trained and certified, and what each part of the training buys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeAlias

import pandas as pd

from knowncircuits.cases.registry import load_case
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import UnknownNameError
from knowncircuits.models.certificates.certifying import certify
from knowncircuits.models.certificates.summary import Summary
from knowncircuits.models.training.config import SIIT, TrainingConfig
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.trainer import Trainer, train
from knowncircuits.work.threads import threads

Sizes: TypeAlias = Mapping[str, Any]
CASES = ("fraction_of_x", "histogram")
LOWER = TrainingConfig(muon_rate=0.01, learning_rate=0.003)
# The default, others that each lack one part of it, and others with something more.
SETTINGS: dict[str, TrainingConfig] = {
    "default": TrainingConfig(),
    "without balance": TrainingConfig(balanced=0.0),
    "Adam": TrainingConfig(optimizer="adam"),
    "nodes (SIIT)": SIIT,
    "quiet and ramp": TrainingConfig(quiet=500, ramp=500),
    "lagging": TrainingConfig(lagging=0.5),
    "averaged": TrainingConfig(average=0.99),
    "guided": TrainingConfig(objective="guided"),
    "lower rates": LOWER,
    "guided, lower rates": replace(LOWER, objective="guided"),
    "strata": replace(LOWER, objective="guided", strata=True),
    "busy": replace(LOWER, objective="guided", busy=1.0, alone=200, rise=300),
    "busy, at once": replace(LOWER, objective="guided", busy=1.0),
}
# Other kinds of layers, as `low_level_config` has them, trained by the default or by lower rates.
NOTHING: Sizes = {}
RMS: Sizes = {"norm": "rms"}
TODAYS: Sizes = {"norm": "rms", "gated": True, "positions": "rotary", "d_head": 8}
KINDS: dict[str, tuple[TrainingConfig, Sizes]] = {
    "LayerNorm": (TrainingConfig(), {"norm": "layer"}),
    "LayerNorm, lower rates": (LOWER, {"norm": "layer"}),
    "RMSNorm": (TrainingConfig(), RMS),
    "RMSNorm, lower rates": (LOWER, RMS),
    "gated": (TrainingConfig(), {"gated": True}),
    "rotary": (TrainingConfig(), {"positions": "rotary"}),
    "RMSNorm, gated, rotary": (TrainingConfig(), TODAYS),
    "RMSNorm, gated, rotary, lower rates": (LOWER, TODAYS),
}


def bench_training(
    cases: Sequence[str] = CASES,
    *,
    settings: Sequence[str] = ("default",),
    steps: int | None = None,
    n_pairs: int = 20_000,
    seed: int = 0,
    on_row: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Train models from scratch on one thread and certify them.

    Args:
        cases: what to train.
        settings: names among `SETTINGS`: the default, Adam for all weights, inputs that are not
            balanced, node-level SIIT, outside edges that come in slowly, inside edges that lag
            patched more often, a moving average of weights, a guide, lower rates, inputs of all
            strata, outside nodes that have work; or among `KINDS`: norms, gated MLPs, rotary
            positions.
        steps: at most; by default the default's, for all settings alike.
        n_pairs: of the certificates.
        seed: of weights, inputs and edges.
        on_row: told of each training before it begins.

    Returns:
        A row for each training: the case, the settings, seconds with all that belongs to it and
        those of them that the certificate took, steps, and what the certificate found: whether it
        passed, the least agreement of an inside and of an outside edge, and that of all outside
        edges at once.
    """
    known = {**{name: (config, NOTHING) for name, config in SETTINGS.items()}, **KINDS}
    for name in settings:
        if name not in known:
            raise UnknownNameError("settings", name, known)
    rows = []
    with threads(1):
        for case in cases:
            for name in settings:
                on_row(f"{case}, {name}")
                row = {"case": case, "settings": name}
                rows.append(row | _measure(case, *known[name], steps, n_pairs, seed))
    return pd.DataFrame(rows)


def _measure(
    case: str,
    config: TrainingConfig,
    sizes: Sizes,
    steps: int | None,
    n_pairs: int,
    seed: int,
) -> dict[str, object]:
    start = perf_counter()
    compiled = load_case(case).compile()
    low = low_level_config(compiled, **sizes)
    placement = Correspondence.same_names(compiled.circuit, low.graph)
    config = replace(config, steps=steps or TrainingConfig.steps, seed=seed)
    trainer = Trainer(compiled, placement, low, config)
    train(trainer)
    trained = perf_counter()
    certificate = certify(trainer.placed, n_pairs=n_pairs, ablations=["resample"])
    end = perf_counter()
    found = Summary.of(certificate)
    return {
        "seconds": end - start,
        "of certificate": end - trained,
        "steps": trainer.n_steps,
        "certified": certificate.passed,
        "accuracy": found.accuracy,
        "worst inside": found.worst_inside[1],
        "worst outside": found.worst_outside[1],
        "all outside": found.all_outside,
    }
