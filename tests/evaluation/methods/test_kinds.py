"""Methods on every kind of model: norms, gates and positions, against the hooked twin."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from quick_methods import OURS_ONLY, QUICK

from knowncircuits.choices import Norm, Positions
from knowncircuits.evaluation.methods import METHODS
from knowncircuits.evaluation.methods.discovery import discover
from knowncircuits.models.interop.hooked import to_hooked
from knowncircuits.transformer import Transformer
from strategies import random_task

NORMS: tuple[Norm, ...] = ("none", "layer", "rms")
# Any two of a norm, a gate and positions meet in one of these.
KINDS = tuple(
    (norm, gated, "rotary" if gated != (norm == "layer") else "learned")
    for norm, gated in product(NORMS, (False, True))
)
TRAINED = QUICK | {"acdc": {"thresholds": [1e-3]}}


@pytest.mark.parametrize(("norm", "gated", "positions"), KINDS)
def test_scores_are_those_of_the_hooked_twin(norm: Norm, gated: bool, positions: Positions) -> None:
    """Values and gradients of both go through norms, but where a method holds them fixed."""
    task = random_task(n_pairs=3, norm=norm, gated=gated, positions=positions)
    assert isinstance(task.model, Transformer)
    twins = replace(task, model=to_hooked(task.model))
    for name in sorted(METHODS.keys() - OURS_ONLY):
        ours, theirs = (discover(name, t, **TRAINED.get(name, {})) for t in (task, twins))
        assert ours.values.any(), name
        assert np.allclose(ours.values, theirs.values, atol=1e-9), name
