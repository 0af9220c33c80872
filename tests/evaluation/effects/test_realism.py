"""Natural models: what is compared with them, by planted differences and by another way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

from knowncircuits.errors import ModelError, ResultError
from knowncircuits.evaluation.effects.natural import (
    natural_config,
    natural_model,
    natural_trainer,
    train_natural,
)
from knowncircuits.evaluation.effects.realism import (
    COLUMNS,
    accuracies,
    correlations,
    effects_of,
    node_table,
    realism,
    weight_norms,
)
from knowncircuits.models.trained import Trained
from knowncircuits.models.zoo import load_model
from knowncircuits.transformer import Transformer, weights_hash
from strategies import random_task

SCALES = (0.5, 1.0)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return load_model("fraction_of_x", zoo=1)


@pytest.fixture(scope="module")
def natural(trained: Trained) -> Trained:
    config = natural_config(trained, n_inputs=5_000, n_validation=200)
    return train_natural(trained, config)


def test_a_natural_model_starts_where_the_other_did(trained: Trained) -> None:
    config = natural_config(trained)
    assert config.objective == "behaviour"
    assert config.seed == trained.training["config"]["seed"]
    trainer = natural_trainer(trained, natural_config(trained, n_inputs=100, n_validation=10))
    assert trainer.placed.model.config == trained.model.config
    with pytest.raises(ModelError, match="expected the objective behaviour, got edges"):
        natural_trainer(trained, dataclasses.replace(config, objective="edges"))


def test_a_natural_model_is_trained_once_into_a_folder(trained: Trained, tmp_path: Path) -> None:
    config = natural_config(trained, steps=2, n_inputs=100, n_validation=10)
    told: list[Trained] = []
    first = natural_model(trained, tmp_path / "natural", config, on_trained=told.append)
    again = natural_model(trained, tmp_path / "natural", config, on_trained=told.append)
    assert len(told) == 1
    assert weights_hash(first.model) == weights_hash(again.model)
    assert not (tmp_path / "natural" / "checkpoint.pt").exists()
    with pytest.raises(ResultError, match="expected a natural model of these settings"):
        natural_model(trained, tmp_path / "natural", dataclasses.replace(config, steps=3))


def test_a_model_is_as_natural_as_itself(trained: Trained) -> None:
    table = realism(trained, trained, scales=SCALES, n_inputs=20, n_pairs=50)
    assert list(table.columns) == COLUMNS
    assert set(table["case"]) == {"fraction_of_x"}
    both = table[table["model"] == "both"]["value"]
    assert both.to_numpy() == pytest.approx(1.0)
    shares = accuracies(table)
    assert (shares["trained"] == shares["natural"]).all()
    assert shares["trained"].min() > 0.99  # certified


@pytest.mark.long
def test_natural_models_do_not_have_the_circuit(trained: Trained, natural: Trained) -> None:
    table = realism(trained, natural, scales=SCALES, n_inputs=20, n_pairs=200)
    shares = accuracies(table)
    assert shares.loc[("accuracy", "")].min() > 0.99
    ablated = shares.loc["accuracy without the outside"]
    assert list(ablated.index) == ["resample", "mean", "zero"]
    assert ablated["natural"].max() < 0.8 < 0.99 < ablated["trained"].min()
    nodes = node_table(table)
    outside = nodes.xs("out", level="status")
    assert outside["trained effect (resample)"].max() == 0
    assert outside["natural effect (resample)"].max() > 0.2
    effects = effects_of(table).pivot(index=["scale", "node"], columns="model", values="effect")
    found = correlations(table)
    assert list(found.columns) == ["all scales", "0.5", "1"]
    for scale, some in (("all scales", effects), ("1", effects.loc[1.0])):
        x, y = some["trained"], some["natural"]
        assert found.loc[("resample", "pearson"), scale] == pytest.approx(pearsonr(x, y)[0])
        assert found.loc[("resample", "spearman"), scale] == pytest.approx(spearmanr(x, y)[0])


def test_a_correlation_with_what_does_not_vary_is_none(trained: Trained) -> None:
    table = realism(trained, trained, ablations=["self-inside"], scales=[1], n_inputs=10)
    assert np.isnan(correlations(table).to_numpy(dtype=float)).all()  # the identity


def test_norms_are_of_all_weights_of_a_node(trained: Trained) -> None:
    norms = weight_norms(trained.model)
    shared = [trained.model.b_O]
    squares = sum(float(p.square().sum()) for p in trained.model.parameters())
    squares -= sum(float(p.square().sum()) for p in shared)
    assert sum(norm**2 for norm in norms.values()) == pytest.approx(squares, rel=1e-5)
    state = trained.to_hooked().state_dict()
    head = [state[f"blocks.1.attn.{name}"][2] for name in ("W_Q", "W_K", "W_V", "W_O")]
    head += [state[f"blocks.1.attn.b_{letter}"][2] for letter in "QKV"]
    expected = torch.cat([w.flatten() for w in head]).norm().item()
    assert norms["a1.h2"] == pytest.approx(expected, rel=1e-5)


def test_norms_are_of_gates_too() -> None:
    task = random_task(gated=True, positions="rotary")
    assert isinstance(task.model, Transformer)
    norms = weight_norms(task.model)
    assert "pos" not in norms
    squares = sum(float(p.square().sum()) for p in task.model.parameters())
    squares -= float(task.model.b_O.square().sum())
    assert sum(norm**2 for norm in norms.values()) == pytest.approx(squares)


def test_models_of_other_places_are_not_compared(trained: Trained) -> None:
    nodes = dict(trained.correspondence.nodes) | {"a1.h0": "a1.h1"}
    correspondence = dataclasses.replace(trained.correspondence, nodes=nodes)
    placed = dataclasses.replace(trained.placed, correspondence=correspondence)
    moved = dataclasses.replace(trained, placed=placed)
    with pytest.raises(ModelError, match="expected models of one graph and placement"):
        realism(trained, moved)


def test_a_model_with_busy_nodes_has_a_natural_partner() -> None:
    """Nodes that have work in zoo 2 have none where sets of edges read no other input."""
    trained = load_model("sign", zoo=2)
    assert trained.training["config"]["busy"]
    config = natural_config(trained)
    assert (config.objective, config.busy, config.again) == ("behaviour", 0, 0)
