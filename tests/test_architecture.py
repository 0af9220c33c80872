"""Configurations: how files tell them, and which there are not."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ModelError
from knowncircuits.models.certificates.identity import configuration_hash
from knowncircuits.models.trained import SCHEMA, read_description
from knowncircuits.models.zoo.shelf import shipped
from strategies import configs

CONFIG = TransformerConfig(2, 4, 12, 3, 48, 5, 6, 1)


@given(configs())
def test_files_tell_every_choice(config: TransformerConfig) -> None:
    folder = {"case": "histogram", "placement": {}, "transformer": config.document()}
    read = SCHEMA.validate_json(json.dumps(folder)).transformer
    assert read == config
    assert configuration_hash(read) == configuration_hash(config)


def test_files_of_models_without_new_choices_are_as_they_were() -> None:
    """`config.json` of the first models, byte for byte: certificates hash it."""
    path = shipped(1).place("fraction_of_x", "seed0") / "config.json"
    old = json.loads(path.read_text())["transformer"]
    assert read_description(path).transformer.document() == old
    assert replace(CONFIG, norm="layer").document()["layer_norm"] is True


@pytest.mark.parametrize(
    "change", [{"norm": "layer"}, {"norm": "rms"}, {"gated": True}, {"positions": "rotary"}]
)
def test_every_choice_changes_the_hash(change: dict[str, Any]) -> None:
    changed = replace(CONFIG, **change)
    assert configuration_hash(changed) != configuration_hash(CONFIG)
    assert configuration_hash(changed) != configuration_hash(replace(changed, norm_eps=1e-3))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_heads": 0}, "n_heads of at least 1, got 0"),
        ({"d_mlp": -1}, "d_mlp of at least 0, got -1"),
        ({"d_mlp": 0, "gated": True}, "d_mlp of a gated MLP of at least 1, got 0"),
        ({"d_head": 1, "positions": "rotary"}, "d_head of at least 2 to be rotated, got 1"),
        ({"activation": "tanh"}, "activation relu, .*, got 'tanh'"),
        ({"norm": "batch"}, "norm none, layer, rms, got 'batch'"),
        ({"positions": "sinusoidal"}, "positions learned, rotary, got 'sinusoidal'"),
    ],
)
def test_sizes_and_choices_that_there_are_not(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(CONFIG, **change)


def test_rotary_positions_are_no_node() -> None:
    assert replace(CONFIG, positions="rotary").graph.inputs == ("embed",)
    assert CONFIG.graph.inputs == ("embed", "pos")
