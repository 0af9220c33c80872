"""What is chosen by name is what the registries have, and the command line offers."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from knowncircuits.cases.choices import Direction
from knowncircuits.cases.pairs import CORRUPTIONS
from knowncircuits.evaluation import choices
from knowncircuits.evaluation.faithfulness.construction import CONSTRUCTIONS
from knowncircuits.evaluation.figures.pictures import FIGURES
from knowncircuits.evaluation.figures.theme import THEMES
from knowncircuits.evaluation.metrics import METRICS
from knowncircuits.leaderboard.choices import BoardFormat
from knowncircuits.leaderboard.exports import FORMATS
from knowncircuits.models.choices import ObjectiveName, Storage
from knowncircuits.models.trained import STORAGES
from knowncircuits.models.training.objectives import OBJECTIVES


@pytest.mark.parametrize(
    ("chosen", "registry"),
    [
        (choices.MetricName, METRICS),
        (choices.Construction, CONSTRUCTIONS),
        (choices.ThemeName, THEMES),
        (choices.FigureFormat, [ending.removeprefix(".") for ending in FIGURES]),
        (ObjectiveName, OBJECTIVES),
        (Storage, STORAGES),
        (BoardFormat, FORMATS),
        (Direction, [name for name in CORRUPTIONS if "off" in name]),
    ],
)
def test_every_choice_is_in_its_registry(chosen: Any, registry: Any) -> None:
    assert set(get_args(chosen)) == set(registry)
